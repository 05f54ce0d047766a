"""Forecasts: what a step needs and takes on devices that are not here, by their own compiler."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.forecast.executable import load_executable as load_executable
    from kgraph.forecast.making import make_forecast as make_forecast
    from kgraph.forecast.report import Forecast as Forecast
else:
    __getattr__, __dir__ = lazy_names(__name__)
