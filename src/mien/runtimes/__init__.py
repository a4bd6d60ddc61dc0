"""Inference runtimes behind one small interface.

``load_network(path, RuntimeOptions(...))`` gives a ``Network``: ``run`` takes a float32 batch and gives a
list of float32 arrays. ``network.py`` holds the interface, ``onnx.py`` and ``openvino.py`` an adapter each.
"""

from mien.runtimes.network import LazyNetwork, Network, RuntimeName, RuntimeOptions, load_network

__all__ = ["LazyNetwork", "Network", "RuntimeName", "RuntimeOptions", "load_network"]
