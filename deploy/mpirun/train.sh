#!/usr/bin/env bash
# Runs a program under Open MPI's mpirun, one rank per process, and starts all ranks again when they can go on from a checkpoint.
# usage: train.sh [-n RANKS] [--hostfile FILE] [--cores-per-rank C] [--max-restarts K] [--restart-delay SECONDS] [--] PROGRAM [ARGUMENTS...]
#   -n RANKS             ranks in all; default: one for each slot of the hostfile, else 2
#   --hostfile FILE      lines like: node1 slots=4       without it, all ranks run here
#   --cores-per-rank C   cores each rank is bound to (default: this host's cores shared among a host's ranks); 0 binds nothing
#   --max-restarts K     starts again at most K times (3)
#   --restart-delay S    seconds before a new start, doubled each time up to 60 (5)
# All ranks are started again when mpirun ends with 75 (a peer was lost, or pre-empted after a checkpoint) or 137 (a rank was killed); DISTTRAIN_RETRY_CODES
# says otherwise. Every other exit code is passed on at once. INT and TERM reach the ranks as TERM, each of which then has the time it needs for a checkpoint, and end the script with 130 or 143;
# a second one ends mpirun and the ranks within a second.
# DISTTRAIN_* and DOTNET_* of the environment reach all ranks; the job's secret (DISTTRAIN_JOB_SECRET) is made if there is none, and is on no command line.
set -uo pipefail

fail() { echo "train.sh: $1" >&2; exit 2; }
number() { [[ $2 =~ ^[0-9]+$ ]] || fail "$1 is '$2', expected a number"; }
ranks='' hostfile='' cores='' max_restarts=3 delay=5
while (($# > 0)); do
    case $1 in
        -n | --hostfile | --cores-per-rank | --max-restarts | --restart-delay)
            (($# > 1)) || fail "$1 needs a value"
            [[ $1 == --hostfile ]] || number "$1" "$2"
            case $1 in
                -n) ranks=$2 ;;
                --hostfile) hostfile=$2 ;;
                --cores-per-rank) cores=$2 ;;
                --max-restarts) max_restarts=$2 ;;
                --restart-delay) delay=$2 ;;
            esac
            shift 2 ;;
        --) shift; break ;;
        -*) fail "unknown option $1; see the first lines of this file" ;;
        *) break ;;
    esac
done
(($# > 0)) || fail "no program; usage: train.sh [-n RANKS] [--hostfile FILE] [--] PROGRAM [ARGUMENTS...]"
command -v mpirun >/dev/null || fail "mpirun is not installed (Debian: apt-get install openmpi-bin)"
mpirun --version 2>&1 | grep -qi 'open.*mpi' || fail "mpirun is not Open MPI's, whose options this script uses (Debian: apt-get install openmpi-bin)"
read -ra retry_codes <<<"${DISTTRAIN_RETRY_CODES:-75 137}"

options=(--tag-output)
[[ $(id -u) != 0 ]] || options+=(--allow-run-as-root)
here=$(nproc) per_host=${ranks:-2}
if [[ -n $hostfile ]]; then
    [[ -r $hostfile ]] || fail "can't read the hostfile $hostfile"
    options+=(--hostfile "$hostfile")
    slots=$(sed -nE 's/#.*//; /[^[:space:]]/{s/.*slots[[:space:]]*=[[:space:]]*([0-9]+).*/\1/; t found; s/.*/1/; :found p}' "$hostfile")
    [[ -n $slots ]] || fail "the hostfile $hostfile names no host"
    per_host=$(head -n 1 <<<"$slots")
    : "${ranks:=$(awk '{ all += $1 } END { print all }' <<<"$slots")}"
fi
: "${ranks:=2}"
((ranks > 0)) || fail "-n is 0, expected at least one rank"
: "${cores:=$((per_host > 0 ? here / per_host : 0))}"
if ((cores > 0)); then
    placing=(--map-by "slot:PE=$cores" --bind-to core)
else
    placing=(--bind-to none)
    [[ -n $hostfile ]] || placing+=(--oversubscribe)
fi
if [[ -z ${DISTTRAIN_JOB_SECRET:-}${DISTTRAIN_JOB_SECRET_FILE:-} ]]; then
    DISTTRAIN_JOB_SECRET=$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')
    export DISTTRAIN_JOB_SECRET
fi
export TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_MAX_RESTARTS=$max_restarts
for variable in $(compgen -e | grep -E '^(DISTTRAIN_|DOTNET_|TORCHELASTIC_)'); do options+=(-x "$variable"); done

# mpirun answers TERM by killing all ranks a second later, which would cut a checkpoint off, and passes no signal on unharmed. So each rank gets a parent, found by a name of its own,
# that TERM is sent to on every host. It stays until its rank is gone, so that mpirun never loses sight of a rank, and calls an end that was asked for a success: at any other
# end mpirun would kill the ranks that still write.
name=disttrain-rank-$(od -An -vtx1 -N8 /dev/urandom | tr -d ' \n')
# shellcheck disable=SC2016
readonly parent='
asked=""
# Open MPI makes a terminal of its own the output of each rank: what arrives is a log all the same.
export TERM=dumb
trap "asked=yes; kill -TERM \$rank 2>/dev/null" TERM
"$@" &
rank=$!
while :; do
    wait $rank
    code=$?
    kill -0 $rank 2>/dev/null || break
done
[[ -n $asked && ( $code == 75 || $code == 130 || $code == 143 ) ]] && exit 0
exit $code'
# shellcheck disable=SC2016
readonly terminate='
for file in /proc/[0-9]*/cmdline; do
    mapfile -d "" -t words <"$file"
    [[ ${words[0]:-} == bash && ${words[3]:-} == "disttrain-rank-$1" ]] && kill -TERM "$(basename "$(dirname "$file")")"
done 2>/dev/null
exit 0'

job='' asked='' ended=''
# shellcheck disable=SC2317 # called by trap
pass_on() { # the signal that came
    if [[ -z $job ]]; then
        asked=$1
    elif [[ -n $ended ]]; then
        : # mpirun would leave its ranks behind at a second TERM
    elif [[ -n $asked ]]; then
        ended=yes
        kill -TERM "$job" 2>/dev/null
    else
        asked=$1
        if [[ -n $hostfile ]]; then
            mpirun "${options[@]}" --map-by ppr:1:node --bind-to none -- bash -c "$terminate" terminate "${name#disttrain-rank-}" </dev/null
        else
            bash -c "$terminate" terminate "${name#disttrain-rank-}"
        fi
    fi
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT

for ((restarts = 0; ; restarts++)); do
    TORCHELASTIC_RESTART_COUNT=$restarts
    mpirun -n "$ranks" "${options[@]}" "${placing[@]}" -- bash -c "$parent" "$name" "$@" </dev/null &
    job=$!
    # wait returns early for each signal that was trapped.
    while :; do
        wait "$job"
        code=$?
        kill -0 "$job" 2>/dev/null || break
    done
    job=''
    if [[ -n $asked ]]; then
        [[ -n $ended ]] || ((code == 0 || code == 143)) || exit "$code"
        [[ $asked == INT ]] && exit 130
        exit 143
    fi
    [[ " ${retry_codes[*]} " == *" $code "* ]] || exit "$code"
    if ((restarts >= max_restarts)); then
        echo "train.sh: ended with $code after $restarts restarts, the most that --max-restarts allows" >&2
        exit "$code"
    fi
    echo "train.sh: ended with $code; restart $((restarts + 1)) of at most $max_restarts in $delay s" >&2
    sleep "$delay" &
    job=$!
    wait "$job"
    job=''
    [[ -z $asked ]] || { [[ $asked == INT ]] && exit 130; exit 143; }
    delay=$((delay * 2 > 60 ? 60 : delay * 2))
done
