/* Sub-groups. All tell each other color and key; the first rank of each color listens at a name that the kernel picks, and its group meets
 * there as a world does, with a secret of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "shm.h"
#include "socket.h"

typedef struct wish {
    int32_t color, key;
} wish;

typedef struct meeting {
    char address[DT_ADDRESS_BYTES_MAX + 1];
    unsigned char secret[32];
    int32_t failed;
} meeting;

/* A link to rank 0, one for the watcher or for memory that comes, one to read by. */
enum { FILES_OF_A_RANK = 3 };

typedef struct membership {
    int32_t rank, size, leader; /* leader: its rank in the parent */
} membership;

static dt_status tell_all(shm *self, const void *mine, void *all, int64_t bytes) {
    bool mapped = false;
    dt_call call = {.verb = DT_VERB_SPLIT, .dtype = DTYPE_BYTE, .send = mine, .recv = all, .count = bytes};
    return shm_staged(self, &call, &mapped);
}

static bool before(const wish *wishes, int32_t left, int32_t right) {
    return wishes[left].key != wishes[right].key ? wishes[left].key < wishes[right].key : left < right;
}

static membership find_group(const wish *wishes, int32_t world, int32_t rank) {
    membership found = {.leader = rank};
    for (int32_t other = 0; other < world; other++) {
        if (wishes[other].color != wishes[rank].color) continue;
        found.size++;
        found.rank += before(wishes, other, rank);
        if (before(wishes, other, found.leader)) found.leader = other;
    }
    return found;
}

/* Whether that many files can be opened, as they will have to be: who finds out later lets the others wait. */
static bool has_room(int32_t files) {
    int opened[DT_MAX_RANKS_SHM + FILES_OF_A_RANK], count = 0, why;
    while (count < files && (opened[count] = eventfd(0, EFD_CLOEXEC)) >= 0) count++;
    why = errno;
    for (int32_t i = 0; i < count; i++) close(opened[i]);
    errno = why;
    return count == files;
}

static int begin_meeting(meeting *mine) {
    int listener = socket_listen("@");
    if (listener >= 0 && socket_name(listener, mine->address, sizeof mine->address) &&
        getrandom(mine->secret, sizeof mine->secret, 0) == (ssize_t)sizeof mine->secret)
        return listener;
    mine->failed = errno ? errno : EIO;
    if (listener >= 0) close(listener);
    return -1;
}

static dt_status join(shm *self, const membership *as, const meeting *at, int listener, dt_comm **part) {
    char text[DT_TEXT_BYTES];
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_SHM, .rank = as->rank, .world_size = as->size,
                          .flags = self->comm.flags, .timeout_ms = atomic_load(&self->comm.timeout_ms), .segment_bytes = self->segment_bytes,
                          .address = at->address, .secret = at->secret, .secret_bytes = sizeof at->secret};
    dt_status status = shm_join(&options, listener, self, part, text, sizeof text);
    return status == DT_OK ? status : comm_error(&self->comm, status, "dt_comm_split: %.900s", text);
}

static dt_status meet(shm *self, const wish *mine, wish *wishes, meeting *meetings, dt_comm **part) {
    meeting own = {.failed = 0};
    int listener = -1;
    dt_status status = tell_all(self, mine, wishes, sizeof *mine);
    if (status != DT_OK) return status;
    membership as = find_group(wishes, self->comm.world_size, self->comm.rank);
    if (mine->color >= 0 && as.size > 1) {
        if (as.rank == 0) listener = begin_meeting(&own);
        if (!own.failed && !has_room((as.rank == 0 ? as.size - 2 : 0) + FILES_OF_A_RANK)) own.failed = errno;
    }
    status = tell_all(self, &own, meetings, sizeof own);
    for (int32_t rank = 0; status == DT_OK && mine->color >= 0 && rank < self->comm.world_size; rank++)
        if (wishes[rank].color == mine->color && meetings[rank].failed)
            status = comm_error(&self->comm, DT_SYSTEM_ERROR, "dt_comm_split: rank %d cannot meet the others: %s", rank, strerror(meetings[rank].failed));
    if (status == DT_OK && mine->color >= 0) status = join(self, &as, &meetings[as.leader], listener, part);
    if (listener >= 0) close(listener);
    return status;
}

dt_status shm_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part) {
    shm *self = shm_of(comm);
    dt_status status = shm_state(self);
    if (status != DT_OK) return status;
    wish mine = {color, key}, wishes[DT_MAX_RANKS_SHM]; /* not from the heap: a rank that had no memory would let the others wait */
    meeting meetings[DT_MAX_RANKS_SHM];
    dt_call call = {.verb = DT_VERB_SPLIT, .dtype = DTYPE_BYTE};
    comm_count_call(comm);
    uint64_t record = shm_record_enter(self, &call);
    status = meet(self, &mine, wishes, meetings, part);
    shm_record_leave(self, record, status, false);
    return status;
}
