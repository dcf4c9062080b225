/* How many cores the ranks have together: by affinity and by the control group's share of time. */
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm.h"

/* Cores' worth of time, rounded up; 0: no limit is known. Version 2 of control groups, else version 1. */
int32_t core_quota(void) {
    long long time = -1, period = 100000;
    FILE *limits = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (limits) {
        if (fscanf(limits, "%lld %lld", &time, &period) != 2) time = -1; /* "max 100000" */
        fclose(limits);
    } else if ((limits = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
        if (fscanf(limits, "%lld", &time) != 1) time = -1;
        fclose(limits);
        limits = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");
        if (limits && fscanf(limits, "%lld", &period) != 1) time = -1;
        if (limits) fclose(limits);
    }
    return time > 0 && period > 0 ? (int32_t)((time + period - 1) / period) : 0;
}

void shm_introduce(shm *self) {
    char state;
    cpu_set_t cores;
    struct stat namespace;
    atomic_store(&self->own->pid_namespace, stat("/proc/self/ns/pid", &namespace) == 0 ? (uint64_t)namespace.st_ino : 0);
    atomic_store(&self->own->start_time, process_start_time(getpid(), &state));
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        for (int cpu = 0; cpu < SHM_CPU_WORDS * 64 && cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &cores)) atomic_fetch_or(&self->own->cpus[cpu / 64], 1ull << (cpu % 64));
    atomic_store(&self->own->quota, core_quota());
}

/* Under a launcher that binds processes each rank sees few cores: what counts is what all have together. */
int32_t shm_cores_of_all(shm *self) {
    int32_t cores = 0;
    for (int word = 0; word < SHM_CPU_WORDS; word++) {
        uint64_t mask = 0;
        for (int32_t rank = 0; rank < self->comm.world_size; rank++) mask |= atomic_load(&self->ranks[rank].cpus[word]);
        cores += __builtin_popcountll(mask);
    }
    int32_t limit = 0; /* ranks of one control group share it; of several, the largest says the least wrong */
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        int32_t theirs = atomic_load(&self->ranks[rank].quota);
        limit = theirs == 0 ? INT32_MAX : theirs > limit ? theirs : limit;
    }
    if (cores > limit) cores = limit;
    return cores > 0 ? cores : 1;
}
