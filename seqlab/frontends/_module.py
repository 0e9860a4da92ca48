"""nn.Module where there is torch. Preparing images, ink and arrays takes none, and runs beside ONNX Runtime without."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module
else:
    try:
        from torch.nn import Module
    except ImportError:

        class Module:
            """Stands in its place."""


__all__ = ["Module"]
