"""Files that are complete or absent: written under a temporary name in the same folder, then renamed."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from nisp.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it is renamed to ``path`` if the block succeeds, and deleted if it fails.

    UserError if it cannot be written (a full disk, no permission).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
