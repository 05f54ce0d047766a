"""The lock that keeps what threads do with weights apart from the steps of a training.

A step of a training gives away the arrays that it works on, so a weight must not be read while a
block of steps is handed to the device. It is handed over in this lock, within microseconds; the
device works outside of it. What another thread does with arrays that it has read in the lock is
safe if it has begun there: JAX lets a computation finish before it gives its arguments away.
"""

import threading

between_blocks = threading.RLock()
"""Held while a block is handed over, and while weights are read or set that belong together.

It also makes sure that of two threads that need a value or a program for the first time one makes
it for both. There is one for the process: with several, threads could wait for each other.
"""
