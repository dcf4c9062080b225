/* Send and receive: from every rank to every other a ring of chunks, filled by the sender and emptied by the receiver. Memory that the
 * receiver has mapped is not put into chunks: it is read where it lies. All transfers of a group go on together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm.h"

typedef struct transfer {
    const dt_transfer *asked;
    int64_t bytes, done;
    uint64_t message, address; /* address: of mapped memory that is sent where it lies */
    uint64_t chunk_end;        /* a mapped send is over when the receiver has read this many chunks */
    bool begun, complete;
} transfer;

typedef struct exchange {
    shm *self;
    transfer *transfers;
    int32_t count, complete;
    dt_status status;
    bool moved; /* since it was last cleared: conditions are asked more than once */
    unsigned char sending[DT_MAX_RANKS_SHM], receiving[DT_MAX_RANKS_SHM]; /* an earlier transfer of that channel is under way */
} exchange;

static shm_channel *channel(shm *self, int32_t from, int32_t to) {
    shm_channel *all = (shm_channel *)((char *)self->mapping->base + self->layout.channels_at);
    return &all[from * self->comm.world_size + to];
}

static void post(shm *self, shm_channel *in, transfer *one, int64_t bytes) {
    shm_channel_end *end = &self->ends[one->asked->peer];
    shm_chunk *chunk = &in->chunk[end->sent % SHM_CHANNEL_CHUNKS];
    *chunk = (shm_chunk){.message = one->message, .message_bytes = (uint64_t)one->bytes, .bytes = (uint64_t)bytes,
                         .dtype = (uint64_t)one->asked->dtype, .address = one->address};
    if (!one->address && bytes) memcpy(in->data[end->sent % SHM_CHANNEL_CHUNKS], (char *)one->asked->buffer + one->done, (size_t)bytes);
    one->done += bytes;
    one->chunk_end = ++end->sent;
    shm_publish(self, &in->written, end->sent);
}

static bool send_more(shm *self, transfer *one) {
    shm_channel *in = channel(self, self->comm.rank, one->asked->peer);
    shm_channel_end *end = &self->ends[one->asked->peer];
    bool moved = false;
    if (!one->begun) {
        one->begun = true;
        one->message = ++end->sent_messages;
        if (one->bytes > SHM_CHUNK_BYTES / 4 && one->asked->peer != self->comm.rank)
            one->address = shm_address_of(self, one->asked->buffer, one->bytes);
    }
    while ((one->done < one->bytes || one->chunk_end == 0) && end->sent - atomic_load(&in->read) < SHM_CHANNEL_CHUNKS) {
        int64_t rest = one->bytes - one->done;
        post(self, in, one, one->address || rest < SHM_CHUNK_BYTES ? rest : SHM_CHUNK_BYTES);
        moved = true;
    }
    if (one->chunk_end && one->done == one->bytes && (!one->address || atomic_load(&in->read) >= one->chunk_end)) one->complete = moved = true;
    return moved;
}

static dt_status differ(shm *self, const transfer *one, const shm_chunk *chunk) {
    const dt_transfer *asked = one->asked;
    int64_t size = dtype_bytes((int32_t)chunk->dtype);
    return shm_fail(self, DT_MISMATCH, (shm_culprit){-1, DT_REASON_NONE},
                    "send and receive differ: rank %d (pid %d) sent %lld %s as its message %llu to rank %d (pid %d), which called %s of %lld %s as "
                    "its message %llu",
                    asked->peer, atomic_load(&self->ranks[asked->peer].pid), (long long)((int64_t)chunk->message_bytes / (size ? size : 1)),
                    dtype_name((int32_t)chunk->dtype), (unsigned long long)chunk->message, self->comm.rank, atomic_load(&self->own->pid),
                    verb_name(asked->verb), (long long)asked->count, dtype_name(asked->dtype), (unsigned long long)one->message);
}

static void take(shm *self, transfer *one, const char *from, int64_t bytes) {
    char *to = (char *)one->asked->buffer + one->done;
    if (one->asked->verb == DT_VERB_RECV_REDUCE) {
        const char *both[2] = {from, to};
        reduce(self->comm.kernels, one->asked->dtype, one->asked->op, &to, 1, both, 2, bytes / dtype_bytes(one->asked->dtype));
    } else if (bytes) {
        memcpy(to, from, (size_t)bytes);
    }
    one->done += bytes;
}

/* What lies in the memory that ranks share may be anything. */
static bool fits(const transfer *one, const shm_chunk *chunk) {
    return chunk->message == one->message && chunk->message_bytes == (uint64_t)one->bytes && chunk->dtype == (uint64_t)one->asked->dtype &&
           chunk->bytes <= (uint64_t)(one->bytes - one->done) && chunk->bytes % (uint64_t)dtype_bytes(one->asked->dtype) == 0 &&
           (chunk->address || chunk->bytes <= SHM_CHUNK_BYTES);
}

static bool receive_more(shm *self, transfer *one, dt_status *status) {
    int32_t peer = one->asked->peer;
    shm_channel *in = channel(self, peer, self->comm.rank);
    shm_channel_end *end = &self->ends[peer];
    bool moved = false;
    if (!one->begun) {
        one->begun = true;
        one->message = ++end->received_messages;
    }
    while (!one->complete && atomic_load(&in->written) > end->received) {
        const shm_chunk chunk = in->chunk[end->received % SHM_CHANNEL_CHUNKS]; /* as it is checked it is used */
        const char *from = chunk.address ? shm_checked(self, peer, chunk.address, chunk.bytes) : in->data[end->received % SHM_CHANNEL_CHUNKS];
        if (!fits(one, &chunk) || !from) {
            *status = differ(self, one, &chunk);
            return false;
        }
        if (chunk.address && !shm_reach(self)) {
            *status = shm_state(self);
            return false;
        }
        take(self, one, from, (int64_t)chunk.bytes);
        if (chunk.address) shm_let_go(self);
        one->complete = one->done == one->bytes;
        shm_publish(self, &in->read, ++end->received);
        moved = true;
    }
    return moved;
}

/* One look at every transfer; true: something moved. */
static bool advance(exchange *all) {
    bool moved = false;
    memset(all->sending, 0, sizeof all->sending);
    memset(all->receiving, 0, sizeof all->receiving);
    for (int32_t i = 0; i < all->count && all->status == DT_OK; i++) {
        transfer *one = &all->transfers[i];
        if (one->complete) continue;
        bool sends = one->asked->verb == DT_VERB_SEND;
        unsigned char *busy = sends ? &all->sending[one->asked->peer] : &all->receiving[one->asked->peer];
        if (*busy) continue;
        *busy = 1;
        moved |= sends ? send_more(all->self, one) : receive_more(all->self, one, &all->status);
        all->complete += one->complete;
    }
    return moved;
}

/* A partner that has left and has nothing more in its channel. */
static dt_status left_alone(exchange *all) {
    shm *self = all->self;
    for (int32_t i = 0; i < all->count; i++) {
        int32_t peer = all->transfers[i].asked->peer;
        if (all->transfers[i].complete || !atomic_load(&self->ranks[peer].left)) continue;
        if (advance(all)) return DT_OK;
        return shm_fail(self, DT_PEER_LOST, (shm_culprit){peer, DT_REASON_LEFT}, "rank %d (pid %d) has destroyed its communicator while rank %d waits in a %s with it",
                        peer, atomic_load(&self->ranks[peer].pid), self->comm.rank, verb_name(all->transfers[i].asked->verb));
    }
    return DT_OK;
}

static bool moved_on(shm *self, void *context) {
    exchange *all = context;
    all->moved |= advance(all);
    if (all->moved || all->status != DT_OK) return true;
    for (int32_t i = 0; i < all->count; i++)
        if (!all->transfers[i].complete && atomic_load(&self->ranks[all->transfers[i].asked->peer].left)) return true;
    return false;
}

static dt_status late(exchange *all) {
    shm *self = all->self;
    const transfer *one = all->transfers;
    while (one->complete) one++;
    char theirs[200];
    shm_last_call(self, one->asked->peer, theirs, sizeof theirs);
    return shm_fail(self, DT_TIMEOUT, (shm_culprit){one->asked->peer, DT_REASON_NONE},
                    "rank %d (pid %d) timed out after %lld ms in %s of %lld %s, %lld of %lld bytes done; its partner is rank %d (pid %d; %s)",
                    self->comm.rank, atomic_load(&self->own->pid), (long long)atomic_load(&self->comm.timeout_ms), verb_name(one->asked->verb),
                    (long long)one->asked->count, dtype_name(one->asked->dtype), (long long)one->done, (long long)one->bytes, one->asked->peer,
                    atomic_load(&self->ranks[one->asked->peer].pid), theirs);
}

static dt_status run(exchange *all) {
    while (all->complete < all->count && all->status == DT_OK) {
        if (advance(all)) continue;
        if (all->status != DT_OK) break;
        all->moved = false;
        dt_status waited = shm_wait(all->self, moved_on, all, SHM_ANYONE);
        if (waited != DT_OK)
            all->status = waited == DT_TIMEOUT && shm_state(all->self) == DT_OK ? late(all) : waited;
        else if (all->status == DT_OK && !all->moved)
            all->status = left_alone(all);
    }
    return all->status;
}

dt_status shm_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count) {
    shm *self = shm_of(comm);
    dt_status status = shm_state(self);
    if (status != DT_OK) return status;
    transfer few[8], *all = count <= 8 ? few : malloc((size_t)count * sizeof *all);
    if (!all) return comm_error(comm, DT_OUT_OF_MEMORY, "no memory for a group of %d transfers", count);
    for (int32_t i = 0; i < count; i++) {
        const dt_transfer *asked = &transfers[i];
        all[i] = (transfer){.asked = asked, .bytes = asked->count * dtype_bytes(asked->dtype)};
    }
    const dt_transfer *first = &transfers[0];
    dt_call call = {.verb = first->verb, .dtype = first->dtype, .op = first->op, .root = first->peer, .count = first->count};
    uint64_t record = shm_record_enter(self, &call);
    exchange at = {.self = self, .transfers = all, .count = count, .status = DT_OK};
    status = run(&at);
    shm_record_leave(self, record, status, false);
    if (status != DT_OK) shm_settle(self);
    if (all != few) free(all);
    return status;
}
