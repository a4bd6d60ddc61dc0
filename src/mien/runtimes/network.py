"""The one interface behind which every inference runtime stands, and the way to get one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mien.errors import BadSettings
from mien.types import FloatArray

__all__ = ["LazyNetwork", "Network", "RuntimeName", "RuntimeOptions", "load_network"]

RuntimeName = Literal["onnx", "openvino"]
Precision = Literal["f32", "bf16"]


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a network is to be run.

    Attributes:
        name: ``onnx`` (ONNX Runtime, part of the base install) or ``openvino`` (extra ``openvino``).
        threads: threads for one call; None leaves it to the runtime (one a core).
        precision: arithmetic inside the network. ``bf16`` is OpenVINO's alone and needs a processor with it.
        providers: ONNX Runtime's execution providers in order of preference.

    Raises:
        BadSettings: an unknown runtime, a precision it has not, or threads below 1.
    """

    name: RuntimeName = "onnx"
    threads: int | None = None
    precision: Precision = "f32"
    providers: tuple[str, ...] = ("CPUExecutionProvider",)

    def __post_init__(self) -> None:
        if self.name not in ("onnx", "openvino"):
            raise BadSettings(f"runtime: expected onnx or openvino, got {self.name}")
        if self.precision not in ("f32", "bf16"):
            raise BadSettings(f"precision: expected f32 or bf16, got {self.precision}")
        if self.precision == "bf16" and self.name != "openvino":
            raise BadSettings(f"precision bf16 needs the openvino runtime, got {self.name}")
        if self.threads is not None and self.threads < 1:
            raise BadSettings(f"threads: expected 1 or more, got {self.threads}")


class Network(Protocol):
    """A loaded network with one image input. Safe to call from many threads at once."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(n, 3, H, W)``; None where any size goes."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names, in the order in which ``run`` gives them."""
        ...

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """Run the network on ``(n, 3, H, W) float32``; one array an output, first axis n.

        Raises:
            RuntimeFailed: the runtime refused the input or failed on it.
        """
        ...


def load_network(path: Path, options: RuntimeOptions) -> Network:
    """Load an ONNX file into the runtime that ``options`` names.

    Raises:
        MissingExtra: the runtime is not installed.
        RuntimeFailed: the runtime refused the file.
    """
    if options.name == "openvino":
        from mien.runtimes.openvino import OpenVinoNetwork

        return OpenVinoNetwork(path, options)
    from mien.runtimes.onnx import OnnxNetwork

    return OnnxNetwork(path, options)


class LazyNetwork:
    """A network that loads on first use, once, however many threads ask at the same time.

    Args:
        load: gives the network; called at most once, unless it raises.
    """

    def __init__(self, load: Callable[[], Network]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._network: Network | None = None

    def load(self) -> Network:
        """The network, loading it now if need be."""
        if self._network is None:
            with self._lock:
                if self._network is None:
                    self._network = self._load()
        return self._network

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """See ``Network.input_shape``; loads the network."""
        return self.load().input_shape

    @property
    def output_names(self) -> tuple[str, ...]:
        """See ``Network.output_names``; loads the network."""
        return self.load().output_names

    def run(self, batch: FloatArray) -> list[FloatArray]:
        """See ``Network.run``; loads the network."""
        return self.load().run(batch)
