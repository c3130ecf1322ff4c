"""The running system as an operator sees it and takes hold of it: what `kora.admin.port.Console` asks for."""

from kora.app.console.acting import Acting
from kora.app.console.inside import Inside
from kora.app.console.seeing import Seeing

__all__ = ["Inside", "RuntimeConsole"]


class RuntimeConsole(Seeing, Acting):
    """Implements `Console` for one runtime. For any thread."""

    def __init__(self, inside: Inside) -> None:
        Seeing.__init__(self, inside)
        Acting.__init__(self, inside)
