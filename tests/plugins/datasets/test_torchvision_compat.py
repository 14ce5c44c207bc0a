"""The import is tried in fresh interpreters: it changes the process for good."""

import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

needs_torchvision = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_torchvision
def test_torchvision_imports_beside_any_torch():
    out = run("""
        import gc, sys
        from nastk.plugins.datasets.torchvision_compat import torchvision
        assert "torchvision" not in sys.modules, "imported before anybody asked"
        first = torchvision()
        gc.collect()
        import torch, torchvision as plain
        assert plain is first is torchvision()
        torch.ops.torchvision.nms, torch.ops.torchvision.qnms
        print(first.datasets.utils.download_url.__name__)
    """)
    assert out == "download_url"


@needs_torchvision
def test_schemas_that_are_already_there_are_left_alone():
    plain = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, timeout=120, check=False)
    if plain.returncode == 0:
        pytest.skip("this torchvision defines its operators itself; a schema before it would clash by the test's own doing")
    run("""
        import torch
        library = torch.library.Library("torchvision", "FRAGMENT")
        if not hasattr(torch.ops.torchvision, "nms"):
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from nastk.plugins.datasets.torchvision_compat import torchvision
        torchvision()
    """)


def test_a_failed_import_leaves_nothing_behind(tmp_path):
    """A stand-in that fails as the real one does: the second import may not meet modules of the first."""
    package = tmp_path / "torchvision"
    (package / "datasets").mkdir(parents=True)
    (package / "datasets" / "__init__.py").touch()
    (package / "datasets" / "utils.py").touch()
    (package / "part.py").write_text("import sys; parent = sys.modules['torchvision']")
    (package / "__init__.py").write_text(
        "import torch; from . import part\n"
        "if not hasattr(torch.ops.torchvision, 'nms'): raise RuntimeError('operator torchvision::nms does not exist')"
    )
    run(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from nastk.plugins.datasets.torchvision_compat import torchvision
        assert torchvision().__file__.startswith({str(tmp_path)!r})
        assert torchvision().part.parent is torchvision()
    """)


def test_a_missing_torchvision_says_how_to_get_it():
    out = run("""
        import sys
        class Hide:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "torchvision":
                    raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
        sys.meta_path.insert(0, Hide())
        from nastk.core.errors import DataError
        from nastk.plugins.datasets.torchvision_compat import torchvision
        try:
            torchvision()
        except DataError as error:
            print(error)
    """)
    assert "pip install nastk[torchvision]" in out


def test_a_broken_torchvision_is_a_data_error(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::other is odd')")
    out = run(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from nastk.core.errors import DataError
        from nastk.plugins.datasets.torchvision_compat import torchvision
        try:
            torchvision()
        except DataError as error:
            print(error, "torchvision" in sys.modules)
    """)
    assert "cannot be imported (RuntimeError: operator torchvision::other is odd)" in out
    assert out.endswith("False")


def test_data_sets_need_no_torchvision():
    run("""
        import sys
        from nastk.plugins.datasets import cifar, digits, fashion_mnist, synthetic
        assert "torchvision" not in sys.modules
    """)
