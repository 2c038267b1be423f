"""Discovery beyond the roster: DNS-SD over multicast DNS (`dnssd`, `dnssd_browser`) and SSDP (`ssdp`)."""
