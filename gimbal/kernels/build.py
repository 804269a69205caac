"""Where compiled kernels are kept, and the one decorator that makes a function a kernel.

numba's own cache notices an edit of the function's file, not of a callee in another file: a stale caller would
silently run old code. So the cache directory is named by a hash of every source that can end up in a kernel.
Importing this module sets ``NUMBA_CACHE_DIR``; it must therefore come before the first import of numba.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from gimbal.kernels.sources import source_hash

KEEP_CACHES = 4  # older ones are removed when a new one is made


class CacheUnwritable(RuntimeError):
    """The folder for compiled kernels can't be written."""


def cache_root() -> Path:
    """``GIMBAL_CACHE_DIR``, else systemd's ``CACHE_DIRECTORY``, else the user's cache folder."""
    for variable in ("GIMBAL_CACHE_DIR", "CACHE_DIRECTORY"):
        if os.environ.get(variable):
            return Path(os.environ[variable])
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "gimbal-host"


def configure_cache() -> Path:
    """Point numba at this version's cache folder, made if needed.

    Raises:
        CacheUnwritable: the folder can't be made or written; the message says what to do.
    """
    root = cache_root()
    folder = root / f"kernels-{source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheUnwritable(
            f"The folder for compiled kernels, {folder}, can't be written ({error.strerror or error}). Without it "
            "every start would compile for seconds. Make it writable, or name another folder in the environment "
            "variable GIMBAL_CACHE_DIR and start again."
        ) from error
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    _forget_old(root, folder)
    return folder


def _forget_old(root: Path, keep: Path) -> None:
    caches = sorted(root.glob("kernels-*"), key=lambda p: p.stat().st_mtime if p.exists() else 0.0, reverse=True)
    for old in [c for c in caches if c != keep][KEEP_CACHES - 1 :]:
        for file in sorted(old.rglob("*"), reverse=True):
            try:
                file.rmdir() if file.is_dir() else file.unlink()
            except OSError:
                pass  # another process may be using or removing it: next start tries again
        try:
            old.rmdir()
        except OSError:
            pass


CACHE_DIR = configure_cache()

if "numba" in sys.modules:
    import numba

    numba.config.CACHE_DIR = str(CACHE_DIR)  # type: ignore[attr-defined]
import numba  # noqa: E402
from numba import types  # noqa: E402
from numba.core.codegen import JITCodeLibrary  # noqa: E402
from numba.core.compiler import Compiler  # noqa: E402
from numba.core.registry import CPUDispatcher  # noqa: E402
from numba.core.types.functions import BaseFunction  # noqa: E402
from numba.np import linalg as numba_linalg  # noqa: E402

_OPTIONS: dict[str, Any] = {"nopython": True, "nogil": True, "error_model": "numpy"}
_BARE: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _CodegenWithoutEnvironment:
    """numba's codegen, but a callee that isn't assembled has no environment to be given."""

    def __init__(self, codegen: Any) -> None:
        self._real = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_env(self, env_name: str, env: Any) -> None:
        pass


class _BareLibrary(JITCodeLibrary):
    """LLVM code of a kernel that only other kernels call: kept as it was lowered.

    numba optimises and assembles every callee by itself, and then again inside each caller. Only the outermost
    kernel's machine code ever runs, so the callees are left to be optimised there, once: 30 s become a few.
    """

    @property
    def codegen(self) -> Any:
        return _CodegenWithoutEnvironment(self._codegen)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _BareCompiler(Compiler):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.state.library = _BareLibrary(self.state.targetctx.codegen(), "bare kernel")


_SCALARS = (types.Float, types.Integer, types.Boolean)


def _remember_scalar_typing() -> None:
    """numba works out the type of every `a * b` of floats anew, through all its array rules: a fifth of a compile.

    The answer for scalars depends on nothing but their types, so the first one is kept.
    """
    resolve = BaseFunction.get_call_type

    def remembered(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws or not args or not all(isinstance(a, _SCALARS) for a in args):
            return resolve(self, context, args, kws)
        known = self.__dict__.setdefault("_gimbal_known", {})
        if args not in known:
            known[args] = resolve(self, context, args, kws)
        return known[args]

    BaseFunction.get_call_type = remembered  # type: ignore[method-assign]


_remember_scalar_typing()


def _leave_blas_for_later() -> None:
    """numba loads SciPy's linear algebra with its array rules, to see whether it is there: a sixth of a warm start.

    Each of its own uses of BLAS looks again, so code elsewhere that multiplies matrices compiles as ever.
    """
    look = numba_linalg.ensure_blas
    numba_linalg.ensure_blas = lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        numba_linalg.ensure_blas = look


_leave_blas_for_later()


class Kernel(CPUDispatcher):
    """A compiled function that can be called from Python and from other kernels.

    A kernel called by a kernel needs no entry of its own; it gets a bare version, made in memory only, which the
    caller's library (and its cache file) contains.
    """

    def _bare(self) -> CPUDispatcher:
        if "bare" not in self.__dict__:
            self.__dict__["bare"] = CPUDispatcher(
                py_func=self.py_func, targetoptions=dict(_BARE), pipeline_class=_BareCompiler
            )
        return self.__dict__["bare"]

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()  # a compile makes millions of objects and no garbage worth looking for
        try:
            return super()._compile_for_args(*args, **kws)  # type: ignore[misc]
        finally:
            if collecting:
                gc.enable()

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return self._bare().get_call_template(args, kws)

    def get_overload(self, sig: Any) -> Any:
        return self._bare().get_overload(sig)


def kernel(function: Any) -> Any:
    """Compile ``function``: cached on disk, without the GIL, IEEE arithmetic in the written order (never fastmath:
    it changes bits), and division by zero giving inf instead of an exception the tick could not handle."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    dispatcher = Kernel(py_func=function, targetoptions=dict(_OPTIONS))
    dispatcher.enable_caching()
    return dispatcher
