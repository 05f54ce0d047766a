"""Calls that mean the same in `keras.ops` and `kgraph.ops`, one a line, on the arrays of POOL.

`o` is the module. A family's calls become the outputs of two models: on batches of any size, and
(those that start with `!`) of known sizes. What starts with `-` is for arrays only, and Keras
cannot trace what starts with `~`. Left out: `sparsemax`, where Keras 3.15 gives zeros.
"""

from __future__ import annotations

import numpy as np

_draws = np.random.default_rng(0)


def _floats(*shape: int) -> np.ndarray:
    return _draws.uniform(0.1, 0.9, shape).astype(np.float32)


def _spd(n: int) -> np.ndarray:
    roots = _floats(2, n, n)
    return roots @ roots.swapaxes(1, 2) + np.eye(n, dtype=np.float32)


CONSTANTS = {"np": np, "CF": "channels_first", "CL": "channels_last"}

POOL: dict[str, np.ndarray] = {
    "rgb": _floats(3),
    "x": _floats(2, 4),
    "y": _floats(2, 4),
    "z": np.array([[-1.5, -0.2, 0.0, 2.0], [0.4, -3.0, 0.5, 0.0]], np.float32),
    "nan": np.array([[1.0, np.nan, 3.0, 2.0], [np.nan, 0.5, 4.0, np.inf]], np.float32),
    "i": np.array([[1, 5, 12], [0, 3, 2]], np.int32),
    "j": np.array([[3, 2, 1], [1, 4, 2]], np.int32),
    "b": np.array([[True, False, True], [False, False, True]]),
    "t": _floats(2, 3, 4),
    "c": _floats(2, 5, 2),
    "m": _floats(2, 3, 3) + 2 * np.eye(3, dtype=np.float32),
    "spd": _spd(3),
    "rhs": _floats(2, 3, 2),
    "steps": _floats(2, 8, 3),
    "img": _floats(2, 6, 6, 3),
    "img2": _floats(2, 6, 6, 3),
    "first": _floats(2, 3, 6, 6),
    "vol": _floats(2, 4, 4, 4, 2),
    "vector": _floats(4),
    "sorted": np.array([0.2, 0.4, 0.6, 0.8], np.float32),
    "classes": np.array([1, 3], np.int32),
    "hot": np.eye(4, dtype=np.float32)[[1, 3]],
    "ids": np.array([[1, 2, 2], [0, 3, 1]], np.int32),
    "k1": _floats(3, 3, 2),
    "k2": _floats(3, 3, 3, 2),
    "kg": _floats(3, 3, 1, 6),
    "kt": _floats(3, 3, 4, 3),
    "kd": _floats(3, 3, 3, 2),
    "kp": _floats(1, 1, 6, 5),
    "signal": _floats(2, 16),
    "q": _floats(2, 3, 2, 4),
    "points": np.array([[[0, 0], [0, 5], [5, 0], [5, 5]]] * 2, np.float32),
    "ends": np.array([[[0, 1], [1, 5], [5, 0], [4, 5]]] * 2, np.float32),
    "affine": np.array([[1, 0.2, 0.5, 0.1, 0.9, -0.3, 0, 0]] * 2, np.float32),
    "lengths": np.array([4, 3], np.int32),
    "label_lengths": np.array([2, 1], np.int32),
    "labels": np.array([[1, 2], [3, 0]], np.int32),
    "logits": _floats(2, 5, 4),
}

_FAMILIES = {
    "elementwise": """
        o.abs(z); o.absolute(z); o.add(x, y); o.angle(o.view_as_complex(c)); o.arccos(x)
        o.arccosh(x + 1.0); o.arcsin(x); o.arcsinh(x); o.arctan(x); o.arctan2(z, x); o.arctanh(x)
        o.bitwise_and(i, j); o.bitwise_invert(i); o.bitwise_left_shift(i, j); o.bitwise_not(i)
        o.bitwise_or(i, j); o.bitwise_right_shift(i, j); o.bitwise_xor(i, j); o.cbrt(z); o.ceil(z)
        o.clip(x, 0.2, 0.5); o.clip(x, x_min=0.3, x_max=0.4); o.conj(o.view_as_complex(c))
        o.conjugate(o.view_as_complex(c)); o.cos(z); o.cosh(z); o.deg2rad(z); o.divide(x, y)
        o.divide_no_nan(x, z); o.equal(i, j); o.exp(z); o.exp2(z); o.expm1(z); o.fabs(z); o.floor(z)
        o.floor_divide(z, x); o.fmax(nan, x); o.fmin(nan, x); o.fmod(z, x); o.gcd(i, j)
        o.greater(x, y); o.greater_equal(i, j); o.heaviside(z, x); o.hypot(x, z); o.i0(z)
        o.imag(o.view_as_complex(c)); o.isfinite(nan); o.isinf(nan); o.isnan(nan); o.isneginf(-nan)
        o.isposinf(nan); o.isreal(z); o.lcm(i, j); o.ldexp(t[..., 0], i); o.left_shift(i, j)
        o.less(x, y); o.less_equal(i, j); o.log(x); o.log10(x); o.log1p(x); o.log2(x)
        o.logaddexp(x, z); o.logaddexp2(x, z); o.logical_and(b, i > 2); o.logical_not(b)
        o.logical_or(b, i > 2); o.logical_xor(b, i > 2); o.maximum(x, y); o.minimum(x1=x, x2=y)
        o.mod(z, x); o.multiply(x, y); o.nan_to_num(nan, 7.0, 8.0)
        o.nan_to_num(nan, nan=1.0, posinf=2.0, neginf=3.0); o.negative(z); o.nextafter(x, y)
        o.not_equal(i, j); o.power(x, y); o.rad2deg(z); o.real(o.view_as_complex(c))
        o.reciprocal(x); o.right_shift(i, j); o.round(x, 1); o.sign(z); o.signbit(z); o.sin(z)
        o.sinc(z); o.sinh(z); o.sqrt(x); o.square(z); o.subtract(x, y); o.tan(z); o.tanh(z)
        o.true_divide(x, y); o.trunc(z); o.where(x > 0.5, x1=x, x2=y); o.where(b, i, j)
        o.cast(z, "int32"); o.cast(i, "float32"); o.erf(z); o.erfc(z); o.erfinv(x); o.rsqrt(x)
        o.saturate_cast(z * 200.0, "uint8"); o.saturate_cast(z * 1e30, "int32")
        o.saturate_cast(i - 5, "uint8"); o.stop_gradient(x); o.polar(x, z)
        """,
    "activations": """
        o.celu(z); o.celu(z, 0.5); o.elu(z); o.elu(z, alpha=2.0); o.gelu(z); o.gelu(z, False)
        o.glu(z, -1); o.hard_shrink(z); o.hard_shrink(z, 0.3); o.hard_sigmoid(z); o.hard_silu(z)
        o.hard_swish(z); o.hard_tanh(z); o.leaky_relu(z); o.leaky_relu(z, negative_slope=0.4)
        o.log_sigmoid(z); o.log_softmax(z); o.log_softmax(z, axis=0); o.relu(z); o.relu6(z)
        o.selu(z); o.sigmoid(z); o.silu(z); o.soft_shrink(z); o.soft_shrink(z, threshold=0.1)
        o.softmax(z); o.softmax(z, axis=(0, 1)); o.softplus(z); o.softsign(z); o.sparse_plus(z)
        o.sparse_sigmoid(z); o.squareplus(z); o.squareplus(z, b=2); o.swish(z)
        o.tanh_shrink(z); o.threshold(z, 0.3, -1.0)
        """,
    "reductions": """
        o.all(b, 1); o.all(b, axis=1, keepdims=True); o.amax(t, 1, True); o.amin(t, (1, 2), True)
        o.any(b, 1, True); o.argmax(t, 1); o.argmax(t, -1, True); o.argmin(t, 1, keepdims=True)
        o.average(t, 1, weights=np.array([1.0, 2.0, 3.0], "float32")); o.average(t, axis=1)
        o.count_nonzero(z, 1); o.count_nonzero(z); o.cumprod(t, 1); o.cumsum(t, axis=-1)
        o.cumsum(x, 1, "float16"); o.logsumexp(t, 1, True); o.logsumexp(t); o.max(t, 1, True)
        o.max(t, 1, True, 0.5); o.mean(t, 1, True); o.mean(i, 1); o.median(t, 1, True); o.median(t)
        o.min(t, 2, True); o.min(t, (0, 1)); o.nanargmax(nan, 1); o.nanargmin(nan, 1, True)
        o.nancumprod(nan, 1); o.nancumsum(nan, axis=1); o.nanmax(nan, 1, True); o.nanmean(nan, 1)
        o.nanmedian(nan, 1, True); o.nanmin(nan, 1, True); o.nanpercentile(nan, 40.0, 1)
        o.nanprod(nan, 1, True); o.nanquantile(nan, 0.4, 1, "linear", True); o.nanstd(nan, 0, True)
        o.nansum(nan, 1, True); o.nanvar(nan, 0, keepdims=True); o.percentile(t, 30.0, 1)
        o.prod(t, 1, True); o.prod(t, 1, False, "float16"); o.ptp(t, 1, True)
        o.quantile(t, 0.3, 1, "nearest", True); o.std(t, 1, True); o.sum(t, 1, True)
        o.sum(t, axis=(0, 2)); o.sum(i, -1); o.var(t, 1, True); o.var(t); o.moments(t, 1)
        o.moments(t, (0, 2), True); o.trapezoid(t, dx=0.5); o.trapezoid(t, axis=1)
        """,
    "shapes": """
        o.append(x, y, 1); o.array(x); o.array_split(x, 3, 1); o.broadcast_to(x[:1], (2, 4))
        o.concatenate([x, y], 1); o.concatenate(xs=[x, y], axis=-1); o.copy(x); o.diag(vector)
        o.diag(t[0], 1); o.diagflat(x[0], 1); o.diagonal(t, 0, 1, 2); o.diagonal(t, 1, -2, -1)
        o.diff(t, 1, 1); o.diff(t, n=2, axis=-1); o.dsplit(t, 2); o.dstack([x, y])
        o.empty_like(i) * 0; o.expand_dims(x, (1, 2)); o.expand_dims(x, -1); o.flip(x); o.flip(t, 1)
        o.fliplr(t); o.flipud(t); o.full_like(x, 3.0); o.full_like(x, 2, "int32")
        o.get_item(t, (slice(None), 1)); o.hsplit(x, 2); o.hstack([x, y])
        o.meshgrid(vector, sorted); o.moveaxis(t, 1, 2); o.ones_like(x); o.ones_like(x, "int32")
        o.pad(x, ((0, 0), (1, 2))); o.pad(x, ((0, 0), (1, 2)), "constant", 5.0)
        !o.pad(x, ((0, 0), (1, 1)), mode="reflect"); o.ravel(t); o.repeat(x, 2, 1); o.repeat(x, 3)
        o.reshape(x, (-1, 2, 2)); o.reshape(t, newshape=(-1, 12)); o.roll(x, 1, 1); o.roll(x, 2)
        o.rot90(t, 1, (1, 2)); -o.size(t); o.split(x, 2, 1); o.split(x, [1, 3], axis=1)
        o.squeeze(x[:, None], 1); o.stack([x, y], 1); o.stack([x, y]); o.swapaxes(t, 1, 2)
        o.take(x, np.array([1, 3]), 1); o.take(x, 2, axis=1)
        !o.take_along_axis(t, np.array([[[0]], [[1]]], "int32"), 1); o.tile(x, (1, 2))
        o.tile(x, repeats=3); o.trace(t, 0, 1, 2); o.transpose(t, (0, 2, 1)); o.transpose(x)
        o.tril(t, 1); o.triu(t, -1); o.unstack(t, 3, 1); o.unstack(t, axis=2); !o.vsplit(x, 2)
        o.vstack([x, y]); o.view(x, "int32"); o.view_as_real(o.view_as_complex(c)); o.zeros_like(x)
        o.zeros_like(t, "int32"); ~o.rearrange(t, "b t f -> f (b t)")
        ~o.rearrange(t, "b t (h f) -> b h t f", h=2); !o.slice(t, (0, 1, 0), (2, 2, 3))
        o.slice_update(t, (0, 1, 1), np.zeros((1, 2, 2), "float32")); o.convert_to_tensor(x)
        -o.shape(t); -o.ndim(t); -o.dtype(t); -o.is_tensor(o.array(t)); -o.is_tensor(1.0)
        -o.convert_to_numpy(t); -o.arange(5); -o.arange(1, 6, 2); -o.arange(1.0, 2.0, 0.25)
        -o.arange(4, dtype="float32"); -o.empty((2, 3)) * 0; -o.eye(3); -o.eye(2, 4, 1)
        -o.full((2, 3), 1.5); -o.full(shape=(2,), fill_value=1, dtype="int32"); -o.identity(3)
        -o.ones((2, 3)); -o.zeros((2,), "int32"); -o.tri(3); -o.tri(2, 4, 1); -o.bartlett(5)
        -o.blackman(5); -o.hamming(5); -o.hanning(5); -o.kaiser(5, 3.0); -o.linspace(0.0, 1.0, 5)
        -o.linspace(0.0, 1.0, num=4, endpoint=False); -o.geomspace(1.0, 8.0, 4)
        -o.logspace(0.0, 2.0, 3); -o.logspace(0.0, 2.0, 3, True, 2.0); -o.nonzero(z)
        -o.unravel_index(np.array([3, 5]), (2, 3)); -o.vectorize(lambda a: a + 1)(x)
        """,
    "searching": """
        o.argpartition(x, 1); o.argsort(x); o.argsort(t, 1); -o.bincount(ids, minlength=4)
        -o.bincount(ids[0]); -o.bincount(ids[0], weights=x[0, :3], minlength=6)
        o.digitize(x, np.array([0.3, 0.6], "float32")); o.histogram(x[0], 4)
        o.histogram(x[0], bins=3, range=(0, 1)); o.in_top_k(classes, x, 2)
        o.in_top_k(classes, predictions=x, k=1); o.isclose(x, y, 0.5); o.isin(i, np.array([1, 2]))
        o.isin(i, x2=np.array([1, 2]), invert=True); o.allclose(x, y, 0.1); o.multi_hot(ids, 4)
        o.multi_hot(classes, num_classes=4); o.multi_hot(ids, 4, dtype="int32"); o.one_hot(ids, 4)
        o.one_hot(classes, 4, 0); o.one_hot(ids, 5, axis=1, dtype="int32")
        o.scatter(ids[..., None], x[:, :3], (5,)); o.searchsorted(sorted, x[0])
        o.scatter(classes[:, None], t, (4, 3, 4))
        o.scatter_update(vector, np.array([[1], [1]]), np.array([5.0, 6.0], "float32"), "add")
        o.scatter_update(t, np.array([[0, 1], [1, 2]]), np.ones((2, 4), "float32"))
        o.scatter_update(x, np.array([[0, 1]]), np.array([9.0], "float32"), reduction="max")
        o.scatter_update(x, np.array([[0, 1]]), np.array([9.0], "float32"), reduction="min")
        o.scatter_update(x, np.array([[0, 1]]), np.array([9.0], "float32"), reduction="mul")
        o.searchsorted(sorted, x[0], "right"); o.segment_max(t, classes, 4)
        o.segment_min(t, classes, num_segments=4); o.segment_prod(x, classes, 4)
        o.segment_sum(t, classes, num_segments=5, sorted=True)
        o.select([x > 0.5, x > 0.2], [x, y], 0.0); o.sort(x); o.sort(t, 1); o.top_k(x, 2)
        o.top_k(x, k=3, sorted=False); -o.unique(i); -o.unique(i, return_counts=True)
        -o.unique(ids, return_inverse=True); o.unique(ids[0], size=4, fill_value=9)
        """,
    "products": """
        o.cdist(t, t[:, :2]); !o.corrcoef(x); o.correlate(vector, sorted)
        o.correlate(vector, sorted, "same"); o.cross(t[..., :3], t[..., 1:]); o.dot(t, x[0])
        o.einsum("bij,bkj->bik", t, t); o.inner(x, y); o.kron(x[0], y[0]); o.kron(vector, sorted)
        o.matmul(t, o.transpose(t, (0, 2, 1))); o.outer(x, y); o.tensordot(t, t, ([1, 2], [1, 2]))
        o.tensordot(x, y, axes=[[1], [1]]); o.vander(vector, 3); o.vander(sorted); o.vdot(x, y)
        o.cholesky(spd); o.cholesky(spd, upper=True); o.cholesky_inverse(o.cholesky(spd)[0])
        o.cholesky_inverse(o.cholesky(spd[0], True), upper=True); o.det(m); o.eigh(spd)[0]
        -o.eig(m)[0]; o.inv(m); o.logdet(m); o.lstsq(m[0], rhs[0]); o.lu_factor(m); o.matrix_rank(m)
        o.matrix_rank(m, tol=3.0); o.norm(x); o.norm(x, axis=1); o.norm(m, "fro", (1, 2))
        o.norm(x, 1, axis=-1, keepdims=True); o.pinv(m); o.qr(m); o.qr(t, mode="complete")
        o.slogdet(m); o.solve(m, rhs); o.solve(m[0], rhs[0, :, 0])
        o.solve_triangular(o.tril(m), rhs, lower=True)
        o.solve_triangular(o.triu(m), rhs); o.svd(t, False)[1]; o.svd(t, compute_uv=False)
        o.dot_product_attention(q, q, q)
        o.dot_product_attention(q, q, q, is_causal=True, scale=0.3)
        o.dot_product_attention(q, q, q, mask=np.tri(3, dtype=bool)[None, None])
        """,
    "windows": """
        o.adaptive_average_pool(img, 2); o.adaptive_average_pool(steps, 3)
        o.adaptive_average_pool(vol, (2, 2, 1)); o.adaptive_max_pool(img, (4, 2))
        o.adaptive_max_pool(first, 3, data_format=CF); o.adaptive_max_pool(steps, 4)
        o.average_pool(img, 2, 2); o.average_pool(img, 3, 2, "same")
        o.average_pool(steps, 2, strides=1); o.max_pool(img, 2, 2)
        o.max_pool(img, (2, 3), strides=2, padding="same"); o.max_pool(steps, 3, 3)
        o.max_pool(vol, 2, strides=2); o.max_pool(first, 2, 2, data_format=CF); o.conv(img, k2)
        o.conv(img, k2, 2, "same"); o.conv(img, kernel=k2, dilation_rate=2); o.conv(steps, k1)
        o.conv(steps, k1, strides=2, padding="same"); o.conv(first, k2, data_format=CF)
        o.conv(img, kg); o.conv_transpose(img, kt); o.conv_transpose(img, kt, 2, "same")
        o.conv_transpose(img, kt, strides=2, output_padding=1)
        o.conv_transpose(first, kt, 2, data_format=CF); o.depthwise_conv(img, kd)
        o.depthwise_conv(img, kd, padding="same", dilation_rate=2); o.depthwise_conv(img, kd, 2)
        o.separable_conv(img, kd, kp, padding="same"); o.depth_to_space(t[:, None], 2)
        o.depth_to_space(o.tile(first, (1, 4, 1, 1)), 2, CF); o.space_to_depth(img, 2)
        o.space_to_depth(first, 3, data_format=CF); o.unfold(first, 2)
        o.unfold(first, (2, 3), dilation=2, padding=1, stride=2); o.fold(o.unfold(first, 2), 6, 2)
        o.fold(o.unfold(first, 3, padding=1, stride=2), (6, 6), 3, padding=1, stride=2)
        o.extract_sequences(signal, 4, 3)
        """,
    "normalisation": """
        o.batch_normalization(t, vector, sorted, -1)
        o.batch_normalization(img, rgb, rgb * 0.5, 3, rgb * 2.0, rgb, 1e-2)
        o.batch_normalization(x=t, mean=t[0, :, 0], variance=t[1, :, 0], axis=1)
        o.layer_normalization(t); o.layer_normalization(t, vector, sorted, epsilon=1e-3)
        o.layer_normalization(t, axis=(1, 2)); o.layer_normalization(t, gamma=t[0, :, 0], axis=1)
        o.rms_normalization(t); o.rms_normalization(t, vector, epsilon=1e-3)
        o.rms_normalization(t, axis=1); o.normalize(t); o.normalize(z, 0, 1)
        o.normalize(t, axis=1, order=3, epsilon=0.5); o.binary_crossentropy(hot, x)
        o.binary_crossentropy(hot, z, from_logits=True); o.categorical_crossentropy(hot, x)
        o.categorical_crossentropy(hot, z, True); o.sparse_categorical_crossentropy(classes, x)
        o.sparse_categorical_crossentropy(classes, z, from_logits=True)
        o.categorical_crossentropy(t, t + 0.1, axis=1); o.psnr(x, y, 1.0)
        o.psnr(img, img2, max_val=2.0); o.ctc_loss(labels, logits, label_lengths, lengths)
        o.ctc_decode(logits, lengths)
        o.ctc_decode(logits, lengths, merge_repeated=False, mask_index=3)
        o.ctc_decode(logits, lengths, "beam_search", 20, top_paths=3)
        """,
    "spectra": """
        o.fft((x, y)); o.fft2((t, t * 2.0)); o.ifft2((t, t * 0.5)); o.rfft(signal)
        o.rfft(signal, 8); o.irfft(o.rfft(signal)); o.irfft(o.rfft(signal), fft_length=12)
        o.stft(signal, 6, 2, 8); !o.stft(signal[:, :4], 4, 2, 12)
        o.stft(signal, 8, 4, 8, window="hamming", center=False)
        o.stft(signal, 4, 2, 8, window=None); o.istft(o.stft(signal, 8, 2, 8), 8, 2, 8)
        o.istft(o.stft(signal, 6, 2, 8), 6, 2, 8, length=14)
        o.istft(o.stft(signal, 8, 4, 8, center=False), 8, 4, 8, window="hann", center=False)
        """,
    "images": """
        o.image.affine_transform(img, affine)
        o.image.affine_transform(img, affine, "nearest", "reflect")
        o.image.affine_transform(first, affine, fill_value=0.5, data_format=CF)
        o.image.affine_transform(img[0], affine[0], fill_mode="wrap")
        o.image.crop_images(img, 1, 2, target_height=3, target_width=2)
        o.image.crop_images(first, 1, 0, 2, right_cropping=3, data_format=CF)
        o.image.pad_images(img, 1, 2, target_height=9, target_width=8)
        o.image.pad_images(img, 1, 0, 2, 3); o.image.extract_patches(img, 2)
        o.image.extract_patches(img, (3, 2), 1, padding="same")
        o.image.extract_patches(img, 3, strides=1, dilation_rate=2)
        o.image.extract_patches(first, 2, data_format=CF); o.image.extract_patches_3d(vol, 2)
        o.image.extract_patches_3d(vol, (2, 2, 1), 1, padding="same")
        o.image.extract_patches(img[0], 3); o.image.gaussian_blur(img, data_format=CL)
        o.image.gaussian_blur(img, (3, 5), (0.5, 1.5), data_format=CL)
        o.image.gaussian_blur(first, data_format=CF); o.image.rgb_to_grayscale(img)
        o.image.rgb_to_grayscale(first, CF); o.image.rgb_to_hsv(img); o.image.hsv_to_rgb(img)
        o.image.hsv_to_rgb(first, data_format=CF); o.image.rgb_to_hsv(first, CF)
        o.image.map_coordinates(x, points[:, :, 0] / 3.0, 1)
        o.image.map_coordinates(x, points[:, :, 0], 0, "nearest")
        o.image.perspective_transform(img, points, ends)
        o.image.perspective_transform(img[0], points[0], ends[0], "nearest", 0.5)
        o.image.perspective_transform(first, points, ends, data_format=CF)
        o.image.resize(img, (3, 4)); o.image.resize(img, (8, 9), "nearest")
        o.image.resize(img, (4, 4), "bicubic", antialias=True)
        o.image.resize(img, (3, 6), crop_to_aspect_ratio=True)
        o.image.resize(img, (2, 6), pad_to_aspect_ratio=True, fill_value=0.5)
        o.image.resize(first, size=(3, 3), data_format=CF)
        !o.image.scale_and_translate(img, (2, 4, 4, 3), sorted[:2], vector[:2], (1, 2), "linear")
        o.image.sobel_edges(img); o.image.sobel_edges(first, data_format=CF)
        o.image.ssim(img, img2, filter_size=3)
        o.image.ssim(img[0], img2[0], 2.0, filter_size=5, filter_sigma=1.0)
        """,
}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\n", ";").split(";") if line.strip()]


FAMILIES: dict[str, list[str]] = {name: _lines(text) for name, text in _FAMILIES.items()}
