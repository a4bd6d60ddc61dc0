"""Inference runtimes behind one small interface.

``load_network(path, RuntimeOptions(...))`` gives a ``Network``: ``run`` takes a float32 batch and gives a
list of float32 arrays. ``network.py`` holds the interface, ``onnx.py`` and ``openvino.py`` an adapter each;
``telemetry.py`` keeps ONNX Runtime from sending anything.
"""

from mien.runtimes.network import LazyNetwork, Network, RuntimeName, RuntimeOptions, load_network
from mien.runtimes.telemetry import import_onnxruntime

__all__ = ["LazyNetwork", "Network", "RuntimeName", "RuntimeOptions", "import_onnxruntime", "load_network"]
