"""The compile cache is named by a hash of the kernels' sources: none may be missing, or old code would run."""

from __future__ import annotations

import ast

from gimbal.kernels.sources import PACKAGE, source_files


def test_every_kernel_and_what_it_imports_of_ours_is_in_the_hash():
    known = set(source_files())
    kernels = [p for p in PACKAGE.rglob("*.py") if "@kernel\n" in p.read_text(encoding="utf-8")]
    assert len(kernels) > 40
    for path in kernels:
        assert path in known, f"{path} holds a kernel: name its room in gimbal/kernels/sources.py"
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gimbal."):
                module = PACKAGE.parent / (node.module or "").replace(".", "/")
                named = [module / f"{alias.name}.py" for alias in node.names] if module.is_dir() else []
                for source in [p for p in named if p.exists()] or [module.with_suffix(".py")]:
                    assert not source.exists() or source in known or "config" in source.parts, (path, source)
