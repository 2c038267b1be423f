"""What to do about a cause, with the commands for this system. They are printed and never run."""

from __future__ import annotations

from .evidence import Evidence

Commands = tuple[str, ...]


def allow_incoming(evidence: Evidence) -> Commands:
    """Let the firewall take UDP at the group's port."""
    port = evidence.port.number
    host = evidence.group
    return {
        "ufw": (
            f"sudo ufw allow in proto udp to {host} port {port}",
            f"sudo ufw allow in proto udp to any port {port}",
        ),
        "firewalld": (
            f"sudo firewall-cmd --permanent --add-port={port}/udp",
            "sudo firewall-cmd --reload",
        ),
        "windows": (
            f'netsh advfirewall firewall add rule name="mcast" dir=in action=allow protocol=UDP '
            f"localport={port}",
            "Set-NetConnectionProfile -NetworkCategory Private",
        ),
        "macos": ("open 'x-apple.systempreferences:com.apple.preference.security?Firewall'",),
    }.get(evidence.firewall, ("sudo nft list ruleset", _nft(evidence, "input", f"udp dport {port} accept")))


def allow_outgoing(evidence: Evidence) -> Commands:
    """Let the firewall or sandbox send UDP to the group."""
    port, host = evidence.port.number, evidence.group
    family = "ip6" if ":" in host else "ip"
    return {
        "ufw": (f"sudo ufw allow out proto udp to {host} port {port}",),
        "firewalld": ("sudo firewall-cmd --direct --get-all-rules", "sudo nft list ruleset"),
        "windows": (
            f'netsh advfirewall firewall add rule name="mcast out" dir=out action=allow protocol=UDP '
            f"remoteport={port}",
        ),
        "macos": ("open 'x-apple.systempreferences:com.apple.preference.security?Privacy_LocalNetwork'",),
    }.get(
        evidence.firewall,
        ("sudo nft list ruleset", _nft(evidence, "output", f"{family} daddr {host} accept")),
    )


def allow_igmp(evidence: Evidence) -> Commands:
    """Let the firewall send membership reports."""
    if evidence.system != "linux":
        return allow_outgoing(evidence)
    return ("sudo nft list ruleset", _nft(evidence, "output", "ip protocol igmp accept"))


def _nft(evidence: Evidence, chain: str, rule: str) -> str:
    return f"sudo nft insert rule inet filter {chain} {rule}"


def add_route(evidence: Evidence) -> Commands:
    """Make a route for multicast out of the interface that mcast uses."""
    name = next((link.name for link in evidence.used), "eth0")
    return {
        "linux": (
            "ip route show table all type unicast 224.0.0.0/4",
            f"sudo ip route add 224.0.0.0/4 dev {name}",
        ),
        "darwin": (f"sudo route -n add -net 224.0.0.0/4 -interface {name}",),
        "win32": ("route print 224.0.0.0 && netsh interface ipv4 show route",),
    }.get(evidence.system, (f"route add -net 224.0.0.0/4 -interface {name}",))


def bring_up(evidence: Evidence, name: str) -> Commands:
    """Switch an interface on."""
    return {
        "linux": (f"sudo ip link set {name} up",),
        "darwin": (f"sudo ifconfig {name} up",),
        "win32": (f'netsh interface set interface name="{name}" admin=enabled',),
    }.get(evidence.system, (f"ifconfig {name} up",))


def larger_buffer(evidence: Evidence) -> Commands:
    """Let programs have larger receive buffers."""
    return {
        "linux": ("sudo sysctl -w net.core.rmem_max=8388608", "sudo sysctl -w net.core.rmem_default=1048576"),
        "darwin": ("sudo sysctl -w kern.ipc.maxsockbuf=8388608",),
    }.get(evidence.system, ())


def loose_reverse_path(evidence: Evidence) -> Commands:
    """Let the kernel take packets from addresses to which it has no route by that interface."""
    names = [link.name for link in evidence.used] or ["eth0"]
    return (
        "sysctl -a -r 'rp_filter$'",
        *(f"sudo sysctl -w net.ipv4.conf.{name}.rp_filter=2" for name in ("all", *names)),
    )


def set_mtu(evidence: Evidence, name: str, mtu: int = 1500) -> Commands:
    """Set the MTU of an interface."""
    return {
        "linux": (f"sudo ip link set {name} mtu {mtu}",),
        "darwin": (f"sudo networksetup -setMTU {name} {mtu}",),
        "win32": (f'netsh interface ipv4 set subinterface "{name}" mtu={mtu} store=persistent',),
    }.get(evidence.system, ())


def who_holds(evidence: Evidence) -> Commands:
    """Show which program holds the port."""
    port = evidence.port.number
    return {
        "linux": (f"ss -lunp 'sport = :{port}'",),
        "darwin": (f"lsof -nP -iUDP:{port}",),
        "win32": (f"netstat -anop UDP | findstr :{port}",),
    }.get(evidence.system, (f"netstat -an | grep {port}",))
