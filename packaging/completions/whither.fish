# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_whither_global_optspecs
    string join \n filter-func= kmods= all-kmods= filter-non-skb-funcs= filter-trace-tc= filter-trace-xdp= filter-track-bpf-helpers= filter-netns= filter-ifname= filter-mark= filter-skb-expr= filter-xdp-expr= filter-tunnel-pcap-l2= filter-tunnel-pcap-l3= filter-track-skb= filter-track-skb-by-stackid= track-table-size= output-meta= output-tuple= output-tcp-flags= output-tunnel= output-caller= output-stack= output-netns-names= netns-names-max-length= timestamp= output-skb-cb= output-skb-metadata= output-xdp-metadata= output-skb= output-skb-shared-info= output-bpfmap= output-json= output-limit-lines= output-file= output-file-max-size= output-file-max-backups= output-file-max-age= output-file-compress= backend= filter-kprobe-batch= kernel-btf= event-buffer= buffer-size= set-percpu-buf= strict= debug= ready-file= dump= h/help= version=
end

function __fish_whither_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_whither_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_whither_using_subcommand
    set -l cmd (__fish_whither_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c whither -n "__fish_whither_needs_command" -l filter-func -d 'only functions whose whole name matches this regular expression' -r
complete -c whither -n "__fish_whither_needs_command" -l kmods -d 'functions of these kernel modules too, now or as soon as they are loaded (Linux 5.11)' -r
complete -c whither -n "__fish_whither_needs_command" -l all-kmods -d 'functions of all kernel modules too, now or as soon as they are loaded (Linux 5.11)' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-non-skb-funcs -d 'functions without an skb, shown when they run on the stack of a matching one' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-trace-tc -d 'tc programs too (Linux 5.5)' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-trace-xdp -d 'XDP programs too (Linux 5.5)' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-track-bpf-helpers -d 'functions that loaded BPF programs call, for packets that matched (x86_64)' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-netns -d 'only packets in this network namespace: a path, or inode:NUMBER' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-ifname -d 'only packets on this interface, of --filter-netns or else of the current namespace' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-mark -d 'only packets with this skb->mark: VALUE or VALUE/MASK, decimal or 0x' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-skb-expr -d 'only packets for which this holds: C, such as \'skb->len > 100 && skb->dev->ifindex == 2\'' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-xdp-expr -d 'only XDP buffers for which this holds: C, such as \'xdp->rxq->dev->ifindex == 2\'' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-tunnel-pcap-l2 -d 'pcap-filter on the frame inside a tunnel; packets outside of one pass' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-tunnel-pcap-l3 -d 'pcap-filter on the IP packet inside a tunnel; packets outside of one pass' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-track-skb -d 'follow a packet that matched once, whatever becomes of it: NAT, tunnels, copies (best with fentry, Linux 5.5)' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-track-skb-by-stackid -d 'what else runs on the stack of a packet that matched (best with fentry, Linux 5.5)' -r
complete -c whither -n "__fish_whither_needs_command" -l track-table-size -d 'packets that can be followed at a time; others are counted' -r
complete -c whither -n "__fish_whither_needs_command" -l output-meta -d 'namespace, mark, interface, protocol, MTU and length' -r
complete -c whither -n "__fish_whither_needs_command" -l output-tuple -d 'addresses and ports' -r
complete -c whither -n "__fish_whither_needs_command" -l output-tcp-flags -d 'TCP flags in the tuple' -r
complete -c whither -n "__fish_whither_needs_command" -l output-tunnel -d 'addresses and ports inside a tunnel' -r
complete -c whither -n "__fish_whither_needs_command" -l output-caller -d 'caller of the function' -r
complete -c whither -n "__fish_whither_needs_command" -l output-stack -d 'kernel stack, a line for each frame' -r
complete -c whither -n "__fish_whither_needs_command" -l output-netns-names -d 'names of network namespaces, from /run/netns' -r
complete -c whither -n "__fish_whither_needs_command" -l netns-names-max-length -d 'width of that column in characters, at least 10' -r
complete -c whither -n "__fish_whither_needs_command" -l timestamp -d 'times: none, current or relative (ns, monotonic), absolute (wall time)' -r
complete -c whither -n "__fish_whither_needs_command" -l output-skb-cb -d '__sk_buff->cb[], five words' -r
complete -c whither -n "__fish_whither_needs_command" -l output-skb-metadata -d 'values of C expressions on the skb, such as skb->mark,skb->dev->name' -r
complete -c whither -n "__fish_whither_needs_command" -l output-xdp-metadata -d 'values of C expressions on the xdp_buff, such as xdp->rxq->dev->ifindex' -r
complete -c whither -n "__fish_whither_needs_command" -l output-skb -d 'the whole sk_buff, member by member' -r
complete -c whither -n "__fish_whither_needs_command" -l output-skb-shared-info -d 'the whole skb_shared_info, member by member' -r
complete -c whither -n "__fish_whither_needs_command" -l output-bpfmap -d 'what BPF programs do to maps for a packet: map, key and value (needs fentry, Linux 5.5)' -r
complete -c whither -n "__fish_whither_needs_command" -l output-json -d 'one JSON object per line' -r
complete -c whither -n "__fish_whither_needs_command" -l output-limit-lines -d 'stop after N lines; 0: never' -r
complete -c whither -n "__fish_whither_needs_command" -l output-file -d 'write to this file instead of standard output, and rotate it; SIGHUP opens it again' -r
complete -c whither -n "__fish_whither_needs_command" -l output-file-max-size -d 'size at which it is rotated, in MiB; 0: 100' -r
complete -c whither -n "__fish_whither_needs_command" -l output-file-max-backups -d 'rotated files that are kept; 0: all' -r
complete -c whither -n "__fish_whither_needs_command" -l output-file-max-age -d 'days for which rotated files are kept; 0: for ever' -r
complete -c whither -n "__fish_whither_needs_command" -l output-file-compress -d 'compress rotated files with gzip' -r
complete -c whither -n "__fish_whither_needs_command" -l backend -d 'attach so: kprobe, kprobe-multi (Linux 5.18), fentry (5.5), tracepoint; else the best that works' -r
complete -c whither -n "__fish_whither_needs_command" -l filter-kprobe-batch -d 'kprobes that are attached or detached together' -r
complete -c whither -n "__fish_whither_needs_command" -l kernel-btf -d 'kernel types from this file: BTF or ELF, also packed by gzip, xz or zstd' -r
complete -c whither -n "__fish_whither_needs_command" -l event-buffer -d 'records reach us by ring (Linux 5.8) or perf; else the best that works' -r
complete -c whither -n "__fish_whither_needs_command" -l buffer-size -d 'room for records that are not read yet, in bytes, or with K, M, G; 64K at least, 1G at most' -r
complete -c whither -n "__fish_whither_needs_command" -l set-percpu-buf -d 'without effect: dumps are never cut; for pwru\'s sake' -r
complete -c whither -n "__fish_whither_needs_command" -l strict -d 'end with status 3 if an event is missing, or may be: lost, missed by a probe, not readable, not followed' -r
complete -c whither -n "__fish_whither_needs_command" -l debug -d 'say more about each stage' -r
complete -c whither -n "__fish_whither_needs_command" -l ready-file -d 'Created, empty, when everything is attached' -r
complete -c whither -n "__fish_whither_needs_command" -l dump -d 'Prints an intermediate form and ends' -r
complete -c whither -n "__fish_whither_needs_command" -s h -l help -d 'print this and end' -r
complete -c whither -n "__fish_whither_needs_command" -l version -d 'print the version and end' -r
complete -c whither -n "__fish_whither_needs_command" -a "filter" -d 'Compile, print and try packet expressions'
complete -c whither -n "__fish_whither_needs_command" -a "doctor" -d 'Try what this host can do'
complete -c whither -n "__fish_whither_needs_command" -a "funcs" -d 'List the functions that would be traced'
complete -c whither -n "__fish_whither_needs_command" -a "types" -d 'Export the part of the kernel\'s types that a run uses'
complete -c whither -n "__fish_whither_using_subcommand filter" -l link-type -d 'what a packet starts with: EN10MB (Ethernet) or RAW (IP)' -r
complete -c whither -n "__fish_whither_using_subcommand filter" -l emit -d 'print the filter as cbpf (numbers), listing, ebpf or graph' -r
complete -c whither -n "__fish_whither_using_subcommand filter" -l batch -d 'read expressions from standard input, one per line' -r
complete -c whither -n "__fish_whither_using_subcommand filter" -s r -l pcap -d 'print the numbers of the packets of this capture file (pcap, pcapng) that match' -r
complete -c whither -n "__fish_whither_using_subcommand filter" -s h -l help -d 'print this and end' -r
complete -c whither -n "__fish_whither_using_subcommand doctor" -l json -d 'print one JSON object instead of a table' -r
complete -c whither -n "__fish_whither_using_subcommand doctor" -s h -l help -d 'print this and end' -r
complete -c whither -n "__fish_whither_using_subcommand funcs" -l kmods -d 'functions of these kernel modules too (Linux 5.11)' -r
complete -c whither -n "__fish_whither_using_subcommand funcs" -l all-kmods -d 'functions of all loaded kernel modules too (Linux 5.11)' -r
complete -c whither -n "__fish_whither_using_subcommand funcs" -l backend -d 'what would be traced so: kprobe, kprobe-multi, fentry, tracepoint; else by the best that works' -r
complete -c whither -n "__fish_whither_using_subcommand funcs" -l kernel-btf -d 'kernel types from this file: BTF or ELF, also packed by gzip, xz or zstd' -r
complete -c whither -n "__fish_whither_using_subcommand funcs" -s h -l help -d 'print this and end' -r
complete -c whither -n "__fish_whither_using_subcommand types" -s o -l output -d 'write to this file instead of standard output' -r
complete -c whither -n "__fish_whither_using_subcommand types" -l kernel-btf -d 'take the types from this file instead of the running kernel' -r
complete -c whither -n "__fish_whither_using_subcommand types" -s h -l help -d 'print this and end' -r
