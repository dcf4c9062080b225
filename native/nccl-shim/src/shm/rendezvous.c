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
    if (!self->same_process)
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
    if (status == DT_OK)
        at->self->links[0] = link;
    else
        close(link);
    return status;
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
