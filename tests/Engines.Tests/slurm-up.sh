#!/usr/bin/env bash
# A Slurm cluster of two virtual nodes (n1, n2) on this host, for tests: own key, sockets, ports and folders, nothing outside SCRATCH.
# usage: slurm-up.sh SCRATCH    Says "ready SCRATCH/slurm.conf" when both nodes are idle, and serves until its standard input ends.
# Exit code 3: a program is missing (named on stderr); engines-install.sh installs it.
set -uo pipefail
scratch=${1:?usage: slurm-up.sh SCRATCH}

missing() {
    local program
    for program in munged slurmctld slurmd sbatch srun; do
        PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || echo "$program"
    done
}

absent=$(missing)
if [[ -n $absent ]]; then
    echo "missing: ${absent//$'\n'/ } (Debian: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge)" >&2
    exit 3
fi
PATH=$PATH:/usr/sbin

free_ports() { # count: free TCP ports below the range that connections draw from
    local port count=$1
    for port in $(shuf -i 20000-31999 -n 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        echo "$port"
        ((--count > 0)) || return 0
    done
    return 1
}

mkdir -p "$scratch"/{state,n1/tmp,n2/tmp,run} || exit 1
scratch=$(readlink -f "$scratch")
chmod 700 "$scratch" "$scratch/run"
export SLURM_CONF=$scratch/slurm.conf
mapfile -t ports < <(free_ports 3)
((${#ports[@]} == 3)) || { echo "no three free ports between 20000 and 31999" >&2; exit 1; }
host=$(hostname -s)
user=$(id -un)
head -c 128 /dev/urandom >"$scratch/run/munge.key" && chmod 400 "$scratch/run/munge.key"
# cred_expire (no less than 5 s) is also how long a requeued job waits before it starts again: two minutes if it isn't said.
cat >"$SLURM_CONF" <<CONF
ClusterName=disttrain-tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$scratch/run/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobRequeue=1
KillWait=3
MailProg=/bin/true
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/%n
TmpFS=$scratch/%n/tmp
SlurmctldPidFile=$scratch/run/slurmctld.pid
SlurmdPidFile=$scratch/run/slurmd.%n.pid
SlurmctldLogFile=$scratch/slurmctld.log
SlurmdLogFile=$scratch/slurmd.%n.log
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[${ports[1]},${ports[2]}] CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=00:10:00 State=UP
CONF
printf 'CgroupAutomount=no\n' >"$scratch/cgroup.conf"

daemons=()
# What a job started belongs to slurmstepd, which outlives slurmd: found by the configuration in its environment.
steps() {
    local environment
    for environment in /proc/[0-9]*/environ; do
        { tr '\0' '\n' <"$environment"; } 2>/dev/null | grep -qxF "SLURM_CONF=$SLURM_CONF" || continue
        environment=${environment#/proc/}
        environment=${environment%/environ}
        [[ $environment == "$$" || $environment == "${BASHPID:-}" || " ${daemons[*]} " == *" $environment "* ]] || echo "$environment"
    done
}

down() {
    trap - EXIT
    local pid tries
    [[ -z ${up:-} ]] || timeout 5 scancel --user="$user" 2>/dev/null
    for ((tries = 0; tries < 20; tries++)); do
        [[ -n ${up:-} && -n $(timeout 5 squeue --noheader --states=RUNNING,COMPLETING 2>/dev/null) ]] || break
        sleep 0.2
    done
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null; done
    for ((tries = 0; tries < 50; tries++)); do
        jobs -r | grep -q . || break
        sleep 0.1
    done
    for pid in "${daemons[@]}" $(steps); do kill -KILL "$pid" 2>/dev/null; done
    wait
}
trap down EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

run() { # name, command...
    local name=$1
    shift
    "$@" >"$scratch/$name.out" 2>&1 </dev/null &
    daemons+=($!)
}

fail() {
    echo "the Slurm cluster did not start: $1" >&2
    tail -n 5 "$scratch"/*.out "$scratch"/*.log >&2
    exit 1
}

run munged munged --foreground --force --socket="$scratch/run/munge.socket" --key-file="$scratch/run/munge.key" \
    --pid-file="$scratch/run/munged.pid" --seed-file="$scratch/run/munged.seed" --log-file="$scratch/munged.log"
for ((tries = 0; tries < 100; tries++)); do
    [[ -S $scratch/run/munge.socket ]] && break
    sleep 0.05
done
[[ -S $scratch/run/munge.socket ]] || fail "munged has no socket after 5 s"
run slurmctld slurmctld -D
run n1 slurmd -D -N n1
run n2 slurmd -D -N n2
up=yes
for ((tries = 0; tries < 150; tries++)); do
    [[ $(timeout 5 sinfo --noheader --Node --format=%T 2>/dev/null | sort | uniq -c | xargs) == "2 idle" ]] && break
    for pid in "${daemons[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a daemon ended"; done
    sleep 0.1
done
((tries < 150)) || fail "the nodes are not idle after 15 s"
echo "ready $SLURM_CONF"
cat >/dev/null
