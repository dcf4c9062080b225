/* A thread that watches the other ranks' processes: dead ones by pidfd, stopped ones by their state, well within a second. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm.h"

enum { LOOK_MS = 200 };

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

typedef struct watched {
    int file; /* a pidfd, or -1 */
    bool watching, was_stopped;
} watched;

/* Field 22 of /proc/pid/stat, 0: no such process, or no file to read it by. The name in field 2 may hold anything, so fields count from the last ')'. */
uint64_t process_start_time(int32_t pid, char *state) {
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t bytes = read(file, text, sizeof text - 1);
    close(file);
    if (bytes <= 0) return 0;
    text[bytes] = 0;
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ') return 0;
    *state = at[2];
    for (int field = 2; field < 22 && at; field++) at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static void report(shm *self, int32_t rank, int32_t reason) {
    char last[200];
    shm_last_call(self, rank, last, sizeof last);
    shm_fail(self, DT_PEER_LOST, (shm_culprit){rank, reason}, "rank %d (pid %d) %s; its %s", rank, atomic_load(&self->ranks[rank].pid),
             reason == DT_REASON_DIED ? "died" : "was stopped (state T)", last);
}

/* Without a file for the process: asked in a way that takes none, for there may be none to have. */
static bool is_gone(int32_t pid, char state) { return state == 'Z' || state == 'X' || (kill(pid, 0) != 0 && errno == ESRCH); }

/* False: there is nothing more to watch in this rank. */
static bool look_at(shm *self, watched *peer, int32_t rank) {
    shm_rank *of = &self->ranks[rank];
    int32_t pid = atomic_load(&of->pid);
    char state = 0;
    uint64_t started = process_start_time(pid, &state), said = atomic_load(&of->start_time);
    uint64_t theirs = atomic_load(&of->pid_namespace), mine = atomic_load(&self->own->pid_namespace);
    if (atomic_load(&of->left) || (theirs && theirs != mine)) return false; /* a number of another namespace says nothing here */
    struct pollfd dead = {.fd = peer->file, .events = POLLIN};
    if ((peer->file >= 0 && poll(&dead, 1, 0) > 0) || (peer->file < 0 && is_gone(pid, state))) {
        report(self, rank, DT_REASON_DIED);
        return false;
    }
    if (said && started && said != started) return false; /* reused: not that process */
    bool stopped = state == 'T';
    if (stopped && peer->was_stopped) {
        report(self, rank, DT_REASON_STOPPED);
        return false;
    }
    peer->was_stopped = stopped;
    return true;
}

static void close_all(watched *peers, int32_t count) {
    for (int32_t rank = 0; rank < count; rank++)
        if (peers[rank].file >= 0) close(peers[rank].file);
}

static void *watch(void *context) {
    shm *self = context;
    int32_t world = self->comm.world_size;
    watched peers[DT_MAX_RANKS_SHM];
    struct pollfd list[DT_MAX_RANKS_SHM + 1];
    uint64_t host = atomic_load(&self->ranks[0].pid_namespace); /* the numbers are as rank 0 saw them */
    for (int32_t rank = 0; rank < world; rank++) {
        int32_t pid = atomic_load(&self->ranks[rank].pid);
        bool other = rank != self->comm.rank && pid > 0 && pid != getpid() && host == atomic_load(&self->own->pid_namespace);
        peers[rank] = (watched){.file = other ? (int)syscall(SYS_pidfd_open, pid, 0) : -1, .watching = other};
    }
    list[world] = (struct pollfd){.fd = self->watcher.stop, .events = POLLIN};
    do {
        for (int32_t rank = 0; rank < world; rank++) {
            if (peers[rank].watching) peers[rank].watching = look_at(self, &peers[rank], rank);
            list[rank] = (struct pollfd){.fd = peers[rank].watching ? peers[rank].file : -1, .events = POLLIN};
        }
    } while (poll(list, (nfds_t)world + 1, LOOK_MS) < 0 || !(list[world].revents & POLLIN));
    close_all(peers, world);
    return NULL;
}

dt_status shm_watch(shm *self, char *text, size_t text_bytes) {
    sigset_t all, before;
    if (self->same_process) return DT_OK;
    self->watcher.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all); /* signals belong to the program's own threads */
    int failed = self->watcher.stop < 0 ? errno : 0;
    if (!failed) { /* the default stack: a small one has no room for a program's thread-local data */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = pthread_create(&self->watcher.thread, NULL, watch, self);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (failed) {
        snprintf(text, text_bytes, "cannot start the thread that watches the other ranks: %s", strerror(failed));
        return DT_SYSTEM_ERROR;
    }
    pthread_setname_np(self->watcher.thread, "dt-watch");
    self->watcher.running = true;
    return DT_OK;
}

void shm_stop_watching(shm *self) {
    uint64_t one = 1;
    if (self->watcher.running) {
        if (write(self->watcher.stop, &one, sizeof one) == (ssize_t)sizeof one) pthread_join(self->watcher.thread, NULL);
        self->watcher.running = false;
    }
    if (self->watcher.stop >= 0) close(self->watcher.stop);
    self->watcher.stop = -1;
}
