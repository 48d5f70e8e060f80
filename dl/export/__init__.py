"""A trained function out of Python: C99 and ONNX, with its normalisation, limits, names and units."""

from dl.export.c99 import c99
from dl.export.onnx import onnx
from dl.export.port import Port
from dl.export.record import ExportError

__all__ = ["ExportError", "Port", "c99", "onnx"]
