"""The broker's figures for Prometheus, under the name that programs import. It requires the extra `metrics`."""

from zchat.broker.figures.metrics import Metrics

__all__ = ["Metrics"]
