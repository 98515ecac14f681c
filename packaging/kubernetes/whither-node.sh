#!/bin/sh
# Traces on one node of a Kubernetes cluster and streams the lines here, until Ctrl-C.
set -u

usage() {
  cat >&2 <<'TEXT'
usage: whither-node.sh NODE [whither's options] [pcap-filter]
environment:
  WHITHER_IMAGE      the image, as packaging/Dockerfile builds it (default: whither:latest)
  WHITHER_NAMESPACE  the namespace that the pod is made in (default: kubectl's)
  WHITHER_TIMEOUT    seconds to wait for the pod to run (default: 60)
  KUBECTL            the command (default: kubectl)
TEXT
  exit 2
}

case "${1-}" in '' | -*) usage ;; esac
node=$1
shift

manifest=$(dirname "$0")/whither.yaml
name=whither-$(date +%s)-$$
kubectl=${KUBECTL:-kubectl}
[ -z "${WHITHER_NAMESPACE-}" ] || kubectl="$kubectl --namespace=$WHITHER_NAMESPACE"

# A word as a JSON string, which YAML reads, too.
json() {
  printf '"'
  printf %s "$1" | tr '\n\t' '  ' | sed 's/\\/\\\\/g; s/"/\\"/g'
  printf '"'
}

args=
for word; do
  args="$args${args:+, }$(json "$word")"
done

# Puts the values in as they are: no character of theirs has a meaning here.
fill() {
  NAME=$name NODE=$(json "$node") IMAGE=$(json "${WHITHER_IMAGE:-whither:latest}") ARGS="[$args]" awk '
    /^#/ { next }
    {
      for (n = split("NAME NODE IMAGE ARGS", key, " "); n > 0; n--) {
        word = "@" key[n] "@"
        if ((at = index($0, word)) > 0) {
          $0 = substr($0, 1, at - 1) ENVIRON[key[n]] substr($0, at + length(word))
          break
        }
      }
      print
    }' "$manifest"
}

remove() {
  trap '' INT TERM
  # whither gets a SIGTERM and removes its probes.
  $kubectl delete pod "$name" --ignore-not-found --wait=true --grace-period=10 >/dev/null 2>&1
}
trap 'remove; exit 130' INT TERM

fill | $kubectl apply -f - >/dev/null || exit 1
left=${WHITHER_TIMEOUT:-60}
while :; do
  phase=$($kubectl get pod "$name" -o jsonpath='{.status.phase}' 2>/dev/null)
  case $phase in Running | Succeeded | Failed) break ;; esac
  if [ "$left" -le 0 ]; then
    echo "error: the pod does not run on $node: ${phase:-unknown}" >&2
    $kubectl get events --field-selector "involvedObject.name=$name" >&2
    remove
    exit 1
  fi
  left=$((left - 1))
  sleep 1
done
$kubectl logs --follow "$name"
status=$($kubectl get pod "$name" -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}' 2>/dev/null)
remove
exit "${status:-1}"
