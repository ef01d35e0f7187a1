"""What runs on a machine before anything of ours is there: how an interpreter is found, what it looks at, a poll.

Texts only; health and the doctor send them and read the answers. They start as few processes as they can and import
little: that is most of what a contact costs a machine.
"""

from typing import Final

#: Tried in this order; the first at or above the floor is taken.
INTERPRETERS: Final = (
    "python3",
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/opt/homebrew/bin/python3",
    *(f"python3.{minor}" for minor in (13, 12, 14, 11, 10, 9, 8, 7, 6)),
    "/usr/libexec/platform-python",
    "python",
    "python2",
)

#: $0 mark, $1 START, then two words for the piece, then interpreters. The first that is new enough runs the piece that
#: comes as input. A line that every login shell takes as it stands, so that nothing has to be decoded there.
FIND: Final = (
    'mark=$0 start=$1 first=$2 second=$3; umask 077; shift 3; for name in "$@"; do '
    'path=$(command -v "$name" 2>/dev/null) && "$path" -E -s -S -c "$start" "$mark" "$first" "$second" && exit; done; '
    'echo "$mark"; echo "no python"; echo "$mark"'
)

#: Any Python can run it, and only one of ours goes on to the piece: one start, without what site-packages add to it,
#: and without the tidying up at the end.
START: Final = (
    "import os, sys; sys.path = [folder for folder in sys.path if folder]; "
    "mark = sys.argv.pop(1); old = sys.version_info < (3, 6); "
    'print(old and "%s old %s is %d.%d.%d" % ((mark, sys.executable) + sys.version_info[:3]) or mark); '
    "old and sys.exit(1); exec(sys.stdin.read()); print(mark); sys.stdout.flush(); os._exit(0)"
)

#: Runs under Python 3.6 and later: makes the root, looks around, prints one JSON object on a line, then what POLL says.
FACTS: Final = r"""
import os, sys
try:
    from _json import encode_basestring_ascii as quoted  # all of json would double what starting Python costs
except ImportError:
    from json.encoder import encode_basestring_ascii as quoted

class Unfit(Exception):
    pass

def told(value):
    # As JSON.
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (quoted(key), told(value[key])) for key in value)
    if isinstance(value, list):
        return "[%s]" % ", ".join(told(each) for each in value)
    return quoted(value) if isinstance(value, str) else str(value).lower()

def has(tool):
    paths = [os.path.join(folder, tool) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths)

def names(folder, wanted=lambda name: True):
    try:
        return sorted(name for name in os.listdir(folder) if wanted(name))
    except OSError:
        return []

def text(path):
    try:
        with open(path, errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""

def life(root):
    path = os.path.join(root, "born")
    try:
        with open(path, "x") as stream:
            stream.write(os.urandom(8).hex())
    except FileExistsError:
        pass
    boot = text("/proc/sys/kernel/random/boot_id").strip()
    return boot and boot + ":" + text(path).strip()

def said(*words):
    # What a tool of the system answers; empty where there is none, or it fails.
    if not has(words[0]):
        return ""
    import subprocess
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

def settings(found):
    # The last of equal keys counts.
    lines = [line.strip().partition("=") for line in found.splitlines() if not line.strip().startswith(("#", ";"))]
    return dict((key.strip(), value.strip()) for key, _, value in lines)

def logind():
    # What counts of the files of logind, which its own tool knows; not asked where no file has a word on it.
    for folder in ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"):
        parts = os.path.join(folder, "logind.conf.d")
        files = [os.path.join(folder, "logind.conf")] + [os.path.join(parts, name) for name in names(parts)]
        if any("KillUserProcesses" in settings(text(file)) for file in files):
            return settings(said("systemd-analyze", "cat-config", "systemd/logind.conf") or text(files[0]))
    return {}

def after_logout(user):
    # "stays", "scope" or "ends": what becomes of a login's processes when it logs out.
    found = logind()
    only, but = found.get("KillOnlyUsers", "").split(), found.get("KillExcludeUsers", "root").split()
    if found.get("KillUserProcesses", "").lower() not in ("yes", "true", "1", "on"):
        return "stays"
    if user in but or (only and user not in only):
        return "stays"
    lingers = settings(said("loginctl", "show-user", user, "--property=Linger")).get("Linger") == "yes"
    if lingers or os.path.exists("/var/lib/systemd/linger/" + user):
        if said("systemd-run", "--user", "--scope", "--quiet", "--", "echo", "scope").strip() == "scope":
            return "scope"
    return "ends"

def made(given, server):
    # Our folder there, and which life of it this is.
    base = os.path.expanduser(given)
    if not os.path.isabs(base):
        raise Unfit("the root %s has no home to stand in; give an absolute root" % given)
    root = os.path.join(os.path.realpath(base), server)
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        if os.stat(root).st_uid != os.getuid():
            raise Unfit("%s belongs to another account; give another root" % root)
        os.chmod(root, 0o700)
        name = os.path.join(root, ".probe-" + os.urandom(8).hex())
        with open(name, "xb") as probe:
            os.unlink(name)
            probe.write(b"x" * 65536)
            probe.flush()
        return root, life(root)
    except OSError as error:
        raise Unfit("cannot write to %s: %s; free space there, or give another root" % (root, error.strerror))

def account():
    try:
        import pwd
        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())

def cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1

def memory_mb():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError):
        return 0

def facts(root, this_life, disk):
    run, versions, runners = (os.path.join(root, name) for name in ("run", "versions", "runner"))
    system, user = os.uname(), account()
    return {
        "root": root, "python": sys.executable, "version": sys.version.split()[0],
        "platform": "%s-%s" % (sys.platform, system.machine), "cores": cores(), "memory_mb": memory_mb(),
        "disk_mb": disk.f_blocks * disk.f_frsize >> 20, "hostname": system.nodename, "user": user,
        "rsync": has("rsync"), "after_logout": after_logout(user), "life": this_life,
        "runners": [name[:-4] for name in names(runners, lambda name: name.endswith(".pyz"))],
        "versions": dict((kind, names(os.path.join(versions, kind), lambda name: not name.startswith(".")))
                         for kind in names(versions)),
        "journals": bool(names(os.path.join(run, "journal")) or os.path.exists(os.path.join(run, "sock"))),
    }

def measured(root, disk):
    # What POLL says, without its processes.
    yield "load %s" % (text("/proc/loadavg").strip() or os.getloadavg()[0])
    yield "stat %s" % text("/proc/stat").partition("\n")[0]
    for line in text("/proc/meminfo").splitlines():
        if line.startswith(("MemTotal:", "MemFree:", "MemAvailable:")):
            yield "mem %s %s" % tuple(line.split()[:2])
    kib = [blocks * disk.f_frsize >> 10 for blocks in (disk.f_blocks, disk.f_blocks - disk.f_bfree, disk.f_bavail)]
    yield "disk - %d %d %d 0%%" % tuple(kib)
    for name in ("Pause", "End"):
        if any(os.path.exists(os.path.join(folder, name)) for folder in (root, os.path.dirname(root))):
            yield "file " + name

try:
    root, this_life = made(sys.argv[1], sys.argv[2])
    disk = os.statvfs(root)
    print("\n".join([told(facts(root, this_life, disk))] + list(measured(root, disk))))
except Unfit as why:
    print(told({"unfit": str(why)}))
"""

#: $0 mark, $1 our folder in the machine's root. This runs every half minute: as few processes as the system allows, and
#: one write for all of it, for each is a message that both ends have to take up. MemAvailable is the last of the three.
POLL: Final = r"""
said=$0 end='
'
if [ -r /proc/loadavg ]; then
  read -r line </proc/loadavg && said="$said${end}load $line"
  read -r line </proc/stat && said="$said${end}stat $line"
  while read -r key value unit; do
    case $key in MemTotal:|MemFree:|MemAvailable:) said="$said${end}mem $key $value" ;; esac
    case $key in MemAvailable:) break ;; esac
  done </proc/meminfo
else
  said="$said${end}load $(LC_ALL=C uptime | sed 's/.*averages*: *//')"
fi
disk=$(LC_ALL=C df -Pk "$1" 2>/dev/null)
said="$said${end}disk ${disk##*"$end"}"
for name in Pause End; do
  if [ -e "$1/$name" ] || [ -e "${1%/*}/$name" ]; then said="$said${end}file $name"; fi
done
printf '%s\n' "$said" "$0"
"""
