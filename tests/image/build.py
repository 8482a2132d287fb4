"""Builds the image with Debian's buildah, on a base made by debootstrap from the mirror that apt uses."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
REVISION = "0123456789abcdef0123456789abcdef01234567"
SUITE = "bookworm"
TAG = "localhost/exoscale-ai-exporter:test"


def out(*command: str | Path) -> str:
    """What the command prints. Its complaints are shown, and a failure ends everything."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Buildah:
    """buildah with storage of its own, which touches no other and needs no configuration."""

    def __init__(self, folder: Path) -> None:
        policy = folder / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._policy = ("--signature-policy", str(policy))
        self._storage = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")

    def __call__(self, command: str, *arguments: str | Path) -> str:
        policy = self._policy if command in ("build", "commit", "from") else ()
        return out("buildah", *self._storage, command, *policy, *arguments)


def mirror() -> str:
    """The address of the Debian mirror that this machine's apt uses for the suite."""
    targets = out("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages")
    for uri, codename, component in (line.split() for line in targets.splitlines()):
        if (codename, component) == (SUITE, "main"):
            return uri
    raise SystemExit(f"apt knows no mirror of Debian {SUITE}")


def build_base(buildah: Buildah, folder: Path) -> str:
    root = folder / "base"
    include = "--include=python3,python3-venv,ca-certificates"
    made = subprocess.run(
        [shutil.which("debootstrap") or "debootstrap", "--variant=minbase", include, SUITE, root, mirror()],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise SystemExit(f"debootstrap failed:\n{made.stdout}{made.stderr}")
    for leftover in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
        leftover.unlink()
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, root, "/")
    buildah("commit", "--quiet", "--rm", container, "localhost/base:test")
    version = out("chroot", root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    shutil.rmtree(root)
    return version


def build_image(buildah: Buildah, folder: Path, python: str) -> str:
    """The wheels are fetched on this machine, with its settings of pip, and the build gets them without a network."""
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq", "--require-hashes"]
    lock = PROJECT / "requirements/runtime.txt"
    out(*pip, "--only-binary=:all:", f"--python-version={python}", f"--dest={wheels}", f"--requirement={lock}")
    arguments = {
        "BASE_IMAGE": "localhost/base:test",
        "REVISION": REVISION,
        "VERSION": version(),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "/given-wheels",
    }
    flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    flags += ["--isolation=chroot", "--format=docker", "--pull-never", "--quiet", f"--volume={wheels}:/given-wheels:ro"]
    return buildah("build", *flags, "--no-cache", f"--tag={TAG}", PROJECT).splitlines()[-1]


def version() -> str:
    match = re.search(r'__version__ = "(.*)"', (PROJECT / "exporter/__init__.py").read_text())
    assert match
    return match[1]
