"""User files: how they are imported, and how their mistakes are told.

A mistake in a user's file is one :class:`DesignError` that names the file and the line, whether it
shows when the file is imported or later, when an operation or a property is read.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import traceback
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from zlib import crc32

from mapproof.model.language import DesignError, Operation, Property

from . import __all__ as PUBLIC

PRIVATE = "_mapproof_"  # how the names of modules begin that users' files become


@dataclass(frozen=True)
class UserFile:
    """A design file: its path as the user wrote it, and the module it became."""

    path: Path
    module: ModuleType

    def owns(self, frame: FrameType) -> bool:
        """The frame runs code of this file, or of a file beside or below it."""
        name = str(frame.f_globals.get("__name__", ""))
        if name == self.module.__name__:
            return True
        path = Path(frame.f_code.co_filename)
        return (
            name.partition(".")[0] != "mapproof"
            and path.is_relative_to(self.path.resolve().parent)
            and "site-packages" not in path.parts
        )


def load(path: Path) -> UserFile:
    """Import a design file under a private name, with the files beside it importable.

    What it prints goes to standard error.  Raises DesignError if it cannot be imported.
    """
    place = path.resolve()
    name = f"{PRIVATE}{place.stem}_{crc32(str(place).encode()):08x}"
    module = ModuleType(name)
    module.__file__ = str(place)
    file = UserFile(path, module)
    source = _source(path)
    try:
        code = compile(source, str(place), "exec", dont_inherit=True)
        _refuse_mixed_helpers(file, source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _told(error, file) from None
    sys.modules[name] = module
    folder = str(place.parent)
    sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):
            exec(code, module.__dict__)
    except SystemExit:
        del sys.modules[name]
        raise DesignError(
            f"{path}: the file exits when it is imported: put what it runs under "
            'if __name__ == "__main__":'
        ) from None
    except Exception as error:
        del sys.modules[name]
        raise _told(error, file) from None
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for imports inside its functions
    return file


@contextmanager
def told_plainly(file: UserFile | None) -> Generator[None]:
    """Turn what a user's functions raise while they are read into one DesignError.

    With no file (a built-in design) nothing changes.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if file is None or (_frame(error, file) is None and not isinstance(error, DesignError)):
            raise
        raise _told(error, file) from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?``, or nothing if no known name is like this one."""
    close = get_close_matches(name, list(dict.fromkeys(known)), n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _source(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DesignError(f"{path}: cannot read it: {error.strerror}") from None
    try:
        return importlib.util.decode_source(data)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DesignError(f"{path}:{line}: not {error.encoding}: save the file as UTF-8") from None
    except SyntaxError as error:  # the first lines, or what they say about the encoding
        raise DesignError(f"{path}:1: {error.msg}: save the file as UTF-8") from None


def _refuse_mixed_helpers(file: UserFile, source: str) -> None:
    """Refuse an import that would find a module of the same name from another folder."""
    folder = file.path.resolve().parent
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in (n.partition(".")[0] for n in names):
            beside = any((folder / rest).exists() for rest in (f"{name}.py", f"{name}/__init__.py"))
            loaded = getattr(sys.modules.get(name), "__file__", None)
            if beside and loaded and not Path(loaded).is_relative_to(folder):
                raise DesignError(
                    f"{file.path}:{node.lineno}: imports {name}, but {shown(loaded)} has that "
                    "name already: rename the module, or check the two folders one by one"
                )


def _told(error: BaseException, file: UserFile) -> DesignError:
    """One message: where in the user's code, what, and what to do."""
    if isinstance(error, SyntaxError):
        where = f"{shown(error.filename or str(file.path))}:{error.lineno or 1}"
        line = f": {error.text.strip()}" if error.text else ""
        return DesignError(f"{where}: syntax error: {error.msg}{line}")
    frame = _frame(error, file)
    if frame is None:
        function = _function_in(error, file)
        where = f"{shown(function[0])}:{function[1]}" if function else str(file.path)
    else:
        where = f"{shown(frame[0].f_code.co_filename)}:{frame[1]}"
    if isinstance(error, DesignError):
        return error if str(error).startswith(where) else DesignError(f"{where}: {error}")
    text = str(error) or "no message"
    hint = _hint(error, frame[0] if frame else None)
    return DesignError(f"{where}: {type(error).__name__}: {text}{hint}")


def _frame(error: BaseException, file: UserFile) -> tuple[FrameType, int] | None:
    """The innermost frame in the user's code, with its line."""
    frames = [f for f in traceback.walk_tb(error.__traceback__) if file.owns(f[0])]
    return frames[-1] if frames else None


def _function_in(error: BaseException, file: UserFile) -> tuple[str, int] | None:
    """The user's operation or property that was being read when it had returned already."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        thing: Any = frame.f_locals.get("self")
        function: Any = getattr(thing, "function", None)
        ours = isinstance(thing, Operation | Property)
        if ours and function.__module__ == file.module.__name__:
            return function.__code__.co_filename, function.__code__.co_firstlineno
    return None


def _hint(error: BaseException, frame: FrameType | None) -> str:
    match error:
        case ModuleNotFoundError(name=str() as name):
            return f": install {name.partition('.')[0]}, or put it beside the design file"
        case ImportError():
            wanted = re.search(r"cannot import name '(\w+)' from 'mapproof'", str(error))
            return suggestion(wanted[1], PUBLIC) if wanted else ""
        case AttributeError(name=str() as name):
            return suggestion(name, dir(error.obj))
        case NameError(name=str() as name) if frame is not None:
            return suggestion(name, [*frame.f_locals, *frame.f_globals, *PUBLIC])
        case _:
            return ""


def shown(filename: str) -> str:
    """A path as short as it is from here."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
