_whither() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="whither"
                ;;
            whither,doctor)
                cmd="whither__subcmd__doctor"
                ;;
            whither,filter)
                cmd="whither__subcmd__filter"
                ;;
            whither,funcs)
                cmd="whither__subcmd__funcs"
                ;;
            whither,types)
                cmd="whither__subcmd__types"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        whither)
            opts="-h --filter-func --kmods --all-kmods --filter-non-skb-funcs --filter-trace-tc --filter-trace-xdp --filter-track-bpf-helpers --filter-netns --filter-ifname --filter-mark --filter-skb-expr --filter-xdp-expr --filter-tunnel-pcap-l2 --filter-tunnel-pcap-l3 --filter-track-skb --filter-track-skb-by-stackid --track-table-size --output-meta --output-tuple --output-tcp-flags --output-tunnel --output-caller --output-stack --output-netns-names --netns-names-max-length --timestamp --output-skb-cb --output-skb-metadata --output-xdp-metadata --output-skb --output-skb-shared-info --output-bpfmap --output-json --output-limit-lines --output-file --output-file-max-size --output-file-max-backups --output-file-max-age --output-file-compress --backend --filter-kprobe-batch --kernel-btf --event-buffer --buffer-size --set-percpu-buf --strict --debug --ready-file --dump --help --version filter doctor funcs types"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --filter-func)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kmods)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --all-kmods)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-non-skb-funcs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-trace-tc)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-trace-xdp)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-track-bpf-helpers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-netns)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-ifname)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-mark)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-skb-expr)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-xdp-expr)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-tunnel-pcap-l2)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-tunnel-pcap-l3)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-track-skb)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-track-skb-by-stackid)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --track-table-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-meta)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-tuple)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-tcp-flags)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-tunnel)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-caller)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-stack)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-netns-names)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --netns-names-max-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timestamp)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-skb-cb)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-skb-metadata)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-xdp-metadata)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-skb)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-skb-shared-info)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-bpfmap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-json)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-limit-lines)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-file-max-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-file-max-backups)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-file-max-age)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output-file-compress)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --backend)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-kprobe-batch)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kernel-btf)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --event-buffer)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --buffer-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set-percpu-buf)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --strict)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --debug)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ready-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dump)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --help)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -h)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --version)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        whither__subcmd__doctor)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --json)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --help)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -h)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        whither__subcmd__filter)
            opts="-r -h --link-type --emit --batch --pcap --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --link-type)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --emit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --batch)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pcap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -r)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --help)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -h)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        whither__subcmd__funcs)
            opts="-h --kmods --all-kmods --backend --kernel-btf --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --kmods)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --all-kmods)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --backend)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kernel-btf)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --help)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -h)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        whither__subcmd__types)
            opts="-o -h --output --kernel-btf --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kernel-btf)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --help)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -h)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _whither -o nosort -o bashdefault -o default whither
else
    complete -F _whither -o bashdefault -o default whither
fi
