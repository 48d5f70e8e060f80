"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: str | os.PathLike, data: bytes):
    """Write bytes so that the name never stands for half a file: temporary file, fsync, rename.

    If anything fails, what was there before is untouched. Raises OSError where it cannot be written.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
