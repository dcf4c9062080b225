/* How ranks find one another: rank 0 listens (door.c), the others connect and say who they are; when all are there, rank 0 sends each the
 * memory. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "door.h"
#include "socket.h"

/* Takes rank 0's answer: the memory, or why not. */
static dt_status enter_memory(door *at, const welcome *answer, int file, int32_t pid) {
    shm *self = at->self;
    bool sane = answer->segment_bytes >= SHM_SEGMENT_BYTES_MIN && answer->segment_bytes <= SHM_SEGMENT_BYTES_MAX;
    if (answer->magic != WELCOME_MAGIC || (answer->status == DT_OK && (!sane || (answer->same_process && pid != getpid())))) {
        snprintf(at->text, at->text_bytes, "what listens at %s is not rank 0 of a DistTrain job", at->options->address);
        return DT_REFUSED;
    }
    if (answer->status != DT_OK) {
        snprintf(at->text, at->text_bytes, "rank 0 refused rank %d: %.250s", at->options->rank, answer->text);
        return answer->status;
    }
    self->same_process = answer->same_process;
    self->segment_bytes = answer->segment_bytes;
    self->layout = shm_layout_of(at->options->world_size, self->segment_bytes);
    dt_status status = DT_OK;
    if (!self->same_process && file < 0) {
        snprintf(at->text, at->text_bytes, "the memory from rank 0 did not reach rank %d, which has too many open files", at->options->rank);
        status = DT_SYSTEM_ERROR;
    } else if (!self->same_process)
        status = shm_map(file, self->layout.bytes, 0, &self->mapping, at->text, at->text_bytes);
    else if (!(self->mapping = shm_take(answer->mapping))) {
        snprintf(at->text, at->text_bytes, "rank 0 gave up before rank %d had the memory", at->options->rank);
        status = DT_PEER_LOST;
    }
    if (status != DT_OK) return status;
    self->control = self->mapping->base;
    self->ranks = (shm_rank *)((char *)self->mapping->base + self->layout.ranks_at);
    return DT_OK;
}

/* One attempt to join: -1: try again. */
static int join_once(door *at, const hello *said) {
    int32_t pid;
    uint32_t user;
    int link = socket_connect(at->options->address), file = -1, got = 0;
    if (link < 0) return -1;
    if (!socket_peer(link, &pid, &user) || user != geteuid()) {
        snprintf(at->text, at->text_bytes, "the listener at %s belongs to another user", at->options->address);
        close(link);
        return DT_REFUSED;
    }
    welcome answer;
    if (!socket_send(link, said, sizeof *said, -1)) got = -1;
    while (got == 0 && now_ms() < at->deadline_ms && (!at->parent || shm_state(at->parent) == DT_OK))
        got = socket_receive(link, &answer, sizeof answer, &file, POLL_MS);
    dt_status status = got == 1 ? enter_memory(at, &answer, file, pid) : -1;
    if (file >= 0) close(file);
    if (status == DT_OK) {
        at->self->links[0] = link;
        return DT_OK;
    }
    if (status > 0 && answer.status == DT_OK) { /* all are waited for by now: they learn why this one does not come */
        welcome parting = {.magic = WELCOME_MAGIC, .status = status};
        snprintf(parting.text, sizeof parting.text, "%.250s", at->text);
        socket_send(link, &parting, sizeof parting, -1);
    }
    close(link);
    return status;
}

/* Where rank R stands when it has come to the first barrier. */
static bool has_begun(const shm *self, int32_t rank) { return atomic_load(&self->ranks[rank].arrival[1].phase) > 0; }

/* A rank whose link has news before it has begun: it gave up, and says why if it could, or is dying. */
static dt_status gave_up(shm *self, int32_t rank) {
    enum { DYING_MS = 100 }; /* links close before the watcher can see a death, which says more */
    welcome parting;
    bool told = socket_receive(self->links[rank], &parting, sizeof parting, NULL, 0) == 1 && parting.magic == WELCOME_MAGIC;
    for (int ms = 0; ms < DYING_MS && !told && !self->same_process && shm_state(self) == DT_OK; ms++) poll(NULL, 0, 1);
    dt_status status = shm_state(self);
    if (status != DT_OK || has_begun(self, rank)) return status;
    return shm_fail(self, DT_PEER_LOST, (shm_culprit){rank, DT_REASON_LEFT}, "rank %d (pid %d) gave up joining%s%.250s", rank,
                    atomic_load(&self->ranks[rank].pid), told ? ": " : "", told ? parting.text : "");
}

dt_status shm_see_in(shm *self, shm *parent) {
    int64_t end = nanoseconds_now() + atomic_load(&self->comm.timeout_ms) * 1000000;
    for (;;) {
        struct pollfd list[DT_MAX_RANKS_SHM];
        int32_t absent[DT_MAX_RANKS_SHM], count = 0;
        for (int32_t rank = 1; rank < self->comm.world_size; rank++) {
            if (has_begun(self, rank)) continue;
            list[count] = (struct pollfd){.fd = self->links[rank], .events = POLLIN};
            absent[count++] = rank;
        }
        dt_status status = shm_state(self);
        if (status != DT_OK || count == 0) return status;
        if (parent && shm_state(parent) != DT_OK)
            return shm_fail(self, shm_state(parent), (shm_culprit){-1, DT_REASON_NONE}, "the communicator that is split failed meanwhile");
        if (nanoseconds_now() >= end) {
            self->phase = 1; /* who has not arrived there */
            return shm_late(self);
        }
        if (poll(list, (nfds_t)count, 1) <= 0) continue;
        for (int32_t i = 0; i < count && status == DT_OK; i++)
            if (list[i].revents && !has_begun(self, absent[i])) status = gave_up(self, absent[i]);
        if (status != DT_OK) return status;
    }
}

static dt_status guest(door *at) {
    const dt_options *options = at->options;
    hello said = {.magic = HELLO_MAGIC, .version = DT_ABI_VERSION, .rank = options->rank, .world_size = options->world_size,
                  .secret_bytes = (uint32_t)options->secret_bytes};
    if (options->secret_bytes) memcpy(said.secret, options->secret, (size_t)options->secret_bytes);
    for (int pause_ms = 1;; pause_ms = pause_ms < 20 ? pause_ms + 1 : 20) {
        int status = join_once(at, &said);
        if (status >= 0) return status;
        if (at->parent && (status = shm_state(at->parent)) != DT_OK) {
            snprintf(at->text, at->text_bytes, "the communicator that is split failed meanwhile");
            return status;
        }
        if (now_ms() >= at->deadline_ms) break;
        poll(NULL, 0, pause_ms);
    }
    snprintf(at->text, at->text_bytes,
             "rank %d waited %lld ms at %s for rank 0 to let all %d ranks in (last: %s). Was rank 0 started on this host, with the same "
             "address?",
             options->rank, (long long)options->timeout_ms, options->address, options->world_size, strerror(errno));
    return DT_TIMEOUT;
}

dt_status shm_connect(const dt_options *options, int listener, shm *parent, shm *self, char *text, size_t text_bytes) {
    door *at = calloc(1, sizeof *at);
    int32_t *pids = calloc((size_t)options->world_size, sizeof *pids);
    dt_status status = DT_OUT_OF_MEMORY;
    if (at && pids) {
        *at = (door){.options = options, .self = self, .parent = parent, .listener = listener, .pids = pids, .text = text,
                     .text_bytes = text_bytes, .deadline_ms = now_ms() + options->timeout_ms};
        status = options->world_size == 1 ? (pids[0] = getpid(), door_welcome_all(at)) : options->rank == 0 ? door_host(at) : guest(at);
    }
    free(pids);
    free(at);
    return status;
}
