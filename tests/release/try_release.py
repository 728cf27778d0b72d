"""make release: the package is built, installed into bare environments, and the README's commands are run there.

Each environment has one version of Python, and the lowest or the newest allowed versions of what is depended on. What
could not be tried is told. uv finds the lowest versions; it downloads several GB where torch's wheels bring CUDA's
libraries.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from documents import blocks, command_lines  # noqa: E402

PYTHONS = ("3.11", "3.12", "3.13")
ONLY_AS_SOURCE = {"fvcore"}
SHORTER = {
    "nas search digits": "nas search digits --trials 6",
    "digits#11": "digits#5",
    "nas search flowers": "nas search flowers --trials 2",
}
"""What is put in the place of parts of commands, so that they take a minute instead of many."""
TOO_LONG = "nas scale"
"""Commands that train dozens of networks; the test suite runs them shortened."""
COMMAND_SECONDS = 600
IMAGES = """
import pathlib
import numpy, PIL.Image
random = numpy.random.default_rng(0)
pathlib.Path("photos").mkdir()
for path in ("scan.png", "photos/one.png", "photos/two.png"):
    PIL.Image.fromarray(random.integers(0, 256, (20, 16), numpy.uint8)).save(path)
for number, name in enumerate(("daisy", "rose", "tulip")):
    pathlib.Path("data/flowers", name).mkdir(parents=True)
    for image in range(60):
        pixels = random.integers(0, 128, (40, 48, 3), numpy.uint8)
        pixels[:, :, number] += 100
        PIL.Image.fromarray(pixels).save(f"data/flowers/{name}/{image}.png")
"""


class Environment(NamedTuple):
    """What is tried: a Python, versions of what is depended on, and what is installed."""

    python: str
    versions: str
    artifact: Path


class Seen(NamedTuple):
    """What came of an environment: how many commands ran, and what failed."""

    torch: str
    above: list[str]
    ran: int
    failed: str
    seconds: float


def main() -> int:
    """Try every environment, print what was seen, and return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", default=PYTHONS, help="versions of Python to try")
    parser.add_argument("--versions", nargs="+", default=("lowest", "newest"), choices=("lowest", "newest"))
    arguments = parser.parse_args()
    rows, whole = list[str](), True
    with tempfile.TemporaryDirectory(prefix="nas-release-") as name:
        folder = Path(name)
        wheel, source = build(folder / "dist")
        print(f"built {wheel.name} and {source.name}", flush=True)
        for python in arguments.python:
            interpreter = interpreter_of(python)
            for versions in arguments.versions:
                if interpreter is None:
                    rows.append(f"| {python} | {versions} | – | – | not tried: Python {python} is not installed | – |")
                    continue
                one = Environment(interpreter, versions, source if versions == "lowest" else wheel)
                print(f"== Python {python}, {versions} versions, {one.artifact.name}", flush=True)
                seen = tried(one, folder / f"{python}-{versions}")
                whole &= not seen.failed
                rows.append(row(python, one, seen))
                print(rows[-1], flush=True)
                shutil.rmtree(folder / f"{python}-{versions}", ignore_errors=True)
    print(f"\n{heading()}\n" + "\n".join(rows))
    return 0 if whole else 1


def build(target: Path) -> tuple[Path, Path]:
    """Build the source distribution, and the wheel out of it."""
    uv("build", "--quiet", "--out-dir", target, ROOT)
    return next(target.glob("*.whl")), next(target.glob("*.tar.gz"))


def interpreter_of(version: str) -> str | None:
    """Return the interpreter of a version of Python, or None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in (*sorted(pyenv.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")):
        if path is not None and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return str(path)
    return None


def tried(one: Environment, folder: Path) -> Seen:
    """Install into a bare environment, and run the README's commands from a folder away from the checkout."""
    began, environment, elsewhere = time.monotonic(), folder / "env", folder / "elsewhere"
    elsewhere.mkdir(parents=True)
    try:
        install(one, environment)
    except subprocess.CalledProcessError as error:
        return Seen("–", [], 0, f"cannot be installed: {last_line(error.stderr)}", time.monotonic() - began)
    installed = versions_in(environment)
    above = [] if one.versions == "newest" else above_the_bounds(installed)
    ran, failed = run_commands(environment, elsewhere)
    return Seen(installed["torch"], above, ran, failed, time.monotonic() - began)


def install(one: Environment, environment: Path) -> None:
    """Install what the package depends on, then the package, and nothing else."""
    wheels = (f"--only-binary={one.name}" for one in dependencies() if one.name not in ONLY_AS_SOURCE)
    resolution = "lowest-direct" if one.versions == "lowest" else "highest"
    torch = f"torch=={bound('torch')}.*" if one.versions == "lowest" else pinned("torch")
    uv("venv", "--quiet", "--python", one.python, environment)
    into = ("pip", "install", "--quiet", "--python", environment / "bin" / "python")
    uv(*into, "--resolution", resolution, *wheels, "-r", ROOT / "pyproject.toml", torch)
    uv(*into, "--no-deps", one.artifact)
    uv("pip", "check", "--quiet", "--python", environment / "bin" / "python")


def run_commands(environment: Path, elsewhere: Path) -> tuple[int, str]:
    """Run the README's commands in turn; return how many ran, and which failed and why."""
    study = next(text for text in blocks(ROOT / "README.md", "yaml") if "flowers.yaml" in text)
    (elsewhere / "studies").mkdir()
    (elsewhere / "studies" / "flowers.yaml").write_text(study, encoding="utf-8")
    known = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NAS_", "VIRTUAL_ENV"))}
    known |= {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}", "NAS_CACHE": str(elsewhere / ".cache")}
    where = f"import nas; assert nas.__file__.startswith({str(environment)!r}), nas.__file__"
    for code in (where, IMAGES):
        subprocess.run([environment / "bin" / "python", "-c", code], cwd=elsewhere, env=known, check=True)
    ran = 0
    for command in shown_commands():
        began = time.monotonic()
        try:
            done = subprocess.run(
                command, shell=True, cwd=elsewhere, env=known, capture_output=True, text=True, timeout=COMMAND_SECONDS
            )
        except subprocess.TimeoutExpired:
            return ran, f"`{command}` took more than {COMMAND_SECONDS} s"
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", flush=True)
            return ran, f"`{command}`: {last_line(done.stderr)}"
        ran += 1
        print(f"{time.monotonic() - began:6.1f} s  {command}", flush=True)
    return ran, ""


def shown_commands() -> Iterator[str]:
    """Yield the README's commands, shortened where they would take long, and Python's way to start."""
    yield "python -m nas cost efficientnet_b0 --json"
    for command in command_lines(ROOT / "README.md"):
        if not command.startswith(TOO_LONG):
            for part, shorter in SHORTER.items():
                command = command.replace(part, shorter)
            yield command


def dependencies() -> list[Requirement]:
    """Return what the package depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def bound(name: str) -> str:
    """Return the lowest version that a dependency may have."""
    (requirement,) = (one for one in dependencies() if one.name == name)
    (found,) = (one.version for one in requirement.specifier if one.operator == ">=")
    return found


def pinned(name: str) -> str:
    """Return a package as the constraints pin it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def versions_in(environment: Path) -> dict[str, str]:
    """Return the versions of all that is installed, by name."""
    listed = uv("pip", "freeze", "--python", environment / "bin" / "python").splitlines()
    pairs = (line.split("==") for line in listed if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}


def above_the_bounds(installed: dict[str, str]) -> list[str]:
    """Return the dependencies whose lowest allowed version could not be installed."""
    found = {one.name: installed[canonicalize_name(one.name)] for one in dependencies()}
    return [f"{name} {version}" for name, version in found.items() if not is_release(version, bound(name))]


def is_release(version: str, lowest: str) -> bool:
    """Tell whether a version is the lowest one: 2.6.0 is 2.6."""
    return version == lowest or version.removeprefix(f"{lowest}.").strip("0.") == "" != version


def row(python: str, one: Environment, seen: Seen) -> str:
    """Return a line of the table."""
    what = "wheel" if one.artifact.suffix == ".whl" else "source distribution"
    came = seen.failed or f"{seen.ran} commands ran"
    above = f" ({', '.join(seen.above)})" if seen.above else ""
    return f"| {python} | {one.versions}{above} | {seen.torch} | {what} | {came} | {seen.seconds:.0f} s |"


def heading() -> str:
    """Return the head of the table, and what was not run."""
    left = [command for command in command_lines(ROOT / "README.md") if command.startswith(TOO_LONG)]
    shorter = ", ".join(f"`{part}` to `{less}`" for part, less in SHORTER.items())
    return (
        f"{date.today().isoformat()}, {platform.system()} on {platform.machine()}. Shortened: {shorter}; not run:"
        f" {', '.join(f'`{command}`' for command in left)}.\n\n"
        "| Python | versions of what is depended on | torch | installed from | commands of the README | time |\n"
        "|---|---|---|---|---|---|"
    )


def last_line(text: str | None) -> str:
    """Return the last line of what a program said."""
    return ((text or "").strip().splitlines() or ["nothing was said"])[-1]


def uv(*words: object) -> str:
    """Run uv and return what it prints.

    Raises:
        CalledProcessError: It failed.
    """
    program: Sequence[str] = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"]
    return subprocess.run(
        [*program, *map(str, words)], cwd=ROOT.parent, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
