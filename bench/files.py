"""JSON and text files that are complete or absent (nisp.whole_files), and their checksums."""

import hashlib
import json
from pathlib import Path
from typing import Any

from nisp.errors import UserError
from nisp.whole_files import replacing


def check_writable(folder: Path) -> None:
    """UserError if nothing can be written below ``folder``; the folder need not exist yet."""
    with replacing(folder / ".writable") as temporary:
        temporary.touch()
    (folder / ".writable").unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=True))


def read_json_if_valid(path: Path) -> Any:
    """The parsed content, or None if the file is missing or broken and must be made again."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON, atomically, with the checksum ``sha256`` over it."""
    write_json(path, {"sha256": _seal(content), **content})


def read_sealed_if_valid(path: Path) -> dict[str, Any] | None:
    """What ``write_sealed`` wrote, or None if the file is missing or differs by even one bit."""
    content = read_json_if_valid(path)
    if not isinstance(content, dict):
        return None
    seal = content.pop("sha256", None)
    return content if seal == _seal(content) else None


def read_sealed(path: Path) -> dict[str, Any]:
    """Like ``read_sealed_if_valid``, with a UserError instead of None."""
    content = read_sealed_if_valid(path)
    if content is None:
        raise UserError(f"{path} is missing or damaged (its checksum does not match): delete it and run again")
    return content


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, allow_nan=True).encode()).hexdigest()


def write_text(path: Path, content: str) -> None:
    """Write a text file, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(content)


def write_sum(path: Path) -> None:
    """Write ``path``.sha256, which ``sha256sum --check`` reads too."""
    write_text(_sum_file(path), f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def check_sum(path: Path) -> None:
    """UserError if ``path`` changed since its checksum was written; a file without a checksum is accepted."""
    if not _sum_file(path).exists():
        return
    if _sum_file(path).read_text().split() != [hashlib.sha256(path.read_bytes()).hexdigest(), path.name]:
        raise UserError(
            f"{path} is damaged or was edited (its checksum does not match): delete it and run again, "
            f"or delete {_sum_file(path).name} to use the file as it is"
        )


def _sum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
