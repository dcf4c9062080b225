/* The calls that all ranks make together: arguments are checked here, then the transport does the work. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "comm.h"

bool comm_alive(const dt_comm *comm);

static dt_status enter(dt_comm *comm) {
    if (__builtin_expect(!comm_alive(comm), 0)) return DT_INVALID_ARGUMENT;
    if (__builtin_expect(atomic_exchange_explicit(&comm->busy, 1, memory_order_acquire), 0))
        return comm_error(comm, DT_INVALID_USAGE, "another thread is inside a call of this communicator; use one thread, or one communicator each");
    return DT_OK;
}

static dt_status leave(dt_comm *comm, dt_status status) {
    atomic_store_explicit(&comm->busy, 0, memory_order_release);
    return status;
}

#define COUNT_MAX ((int64_t)1 << 46)

static dt_status check_count(dt_comm *comm, const char *verb, int64_t count, int32_t dtype, int64_t parts) {
    int64_t size = dt_dtype_bytes(dtype);
    if (size == 0) return comm_error(comm, DT_INVALID_ARGUMENT, "%s: there is no data type %d", verb, dtype);
    if (count < 0 || count > COUNT_MAX / size / parts)
        return comm_error(comm, DT_INVALID_ARGUMENT, "%s: %lld elements; needed are 0 to %lld", verb, (long long)count,
                          (long long)(COUNT_MAX / size / parts));
    return DT_OK;
}

static dt_status check_buffer(dt_comm *comm, const char *verb, const char *name, const void *buffer, int64_t bytes) {
    if (bytes == 0) return DT_OK;
    if (!buffer) return comm_error(comm, DT_INVALID_ARGUMENT, "%s: %s is null but %lld bytes are asked for", verb, name, (long long)bytes);
    if ((uintptr_t)buffer > UINTPTR_MAX - (uintptr_t)bytes) return comm_error(comm, DT_INVALID_ARGUMENT, "%s: %s ends beyond memory", verb, name);
    return DT_OK;
}

/* Two buffers are apart, or exactly as in place wants them. */
static dt_status check_apart(dt_comm *comm, const char *verb, const char *send, int64_t send_bytes, const char *recv, int64_t recv_bytes,
                             int64_t in_place_offset) {
    uintptr_t from = (uintptr_t)send, to = (uintptr_t)recv;
    if (!send_bytes || !recv_bytes || from + (uintptr_t)in_place_offset == to) return DT_OK;
    if (from + (uintptr_t)send_bytes <= to || to + (uintptr_t)recv_bytes <= from) return DT_OK;
    return comm_error(comm, DT_INVALID_ARGUMENT, "%s: send (%p, %lld bytes) and recv (%p, %lld bytes) overlap without being in place", verb,
                      (const void *)send, (long long)send_bytes, (const void *)recv, (long long)recv_bytes);
}

/* A collective's whole argument list; parts: how many counts send and recv hold, 0: that buffer is not used. */
static dt_status check(dt_comm *comm, const dt_call *call, int64_t send_parts, int64_t recv_parts) {
    const char *verb = verb_name(call->verb);
    int64_t parts = send_parts > recv_parts ? send_parts : recv_parts;
    if (comm->grouped) return comm_error(comm, DT_INVALID_USAGE, "%s between dt_group_start and dt_group_end: groups hold sends and receives", verb);
    dt_status status = check_count(comm, verb, call->count, call->dtype, parts ? parts : 1);
    if (status != DT_OK) return status;
    int64_t bytes = call->count * dt_dtype_bytes(call->dtype);
    if (call->op < DT_SUM || call->op > DT_AVERAGE) return comm_error(comm, DT_INVALID_ARGUMENT, "%s: there is no operator %d", verb, call->op);
    if (call->root < 0 || call->root >= comm->world_size)
        return comm_error(comm, DT_INVALID_ARGUMENT, "%s: root %d of %d ranks", verb, call->root, comm->world_size);
    if (send_parts && (status = check_buffer(comm, verb, "send", call->send, send_parts * bytes)) != DT_OK) return status;
    if (recv_parts && (status = check_buffer(comm, verb, "recv", call->recv, recv_parts * bytes)) != DT_OK) return status;
    if (!send_parts || !recv_parts) return DT_OK;
    int64_t own = comm->rank * bytes;
    return check_apart(comm, verb, call->send, send_parts * bytes, call->recv, recv_parts * bytes,
                       send_parts > recv_parts ? own : recv_parts > send_parts ? -own : 0);
}

static dt_status run(dt_comm *comm, const dt_call *call, int64_t send_parts, int64_t recv_parts) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    status = check(comm, call, send_parts, recv_parts);
    return leave(comm, status == DT_OK ? comm->transport->collective(comm, call) : status);
}

#define WORLD(comm) (comm_alive(comm) ? (comm)->world_size : 1)
#define IS_ROOT(comm, root) (comm_alive(comm) && (comm)->rank == (root))

dt_status dt_barrier(dt_comm *comm) { return run(comm, &(dt_call){.verb = DT_VERB_BARRIER}, 0, 0); }

dt_status dt_all_reduce(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t op) {
    return run(comm, &(dt_call){DT_VERB_ALL_REDUCE, dtype, op, 0, send, recv, count}, 1, 1);
}

dt_status dt_reduce_scatter(dt_comm *comm, const void *send, void *recv, int64_t recv_count, int32_t dtype, int32_t op) {
    return run(comm, &(dt_call){DT_VERB_REDUCE_SCATTER, dtype, op, 0, send, recv, recv_count}, WORLD(comm), 1);
}

dt_status dt_all_gather(dt_comm *comm, const void *send, void *recv, int64_t send_count, int32_t dtype) {
    return run(comm, &(dt_call){DT_VERB_ALL_GATHER, dtype, 0, 0, send, recv, send_count}, 1, WORLD(comm));
}

dt_status dt_broadcast(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t root) {
    return run(comm, &(dt_call){DT_VERB_BROADCAST, dtype, 0, root, send, recv, count}, IS_ROOT(comm, root), 1);
}

dt_status dt_reduce(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype, int32_t op, int32_t root) {
    return run(comm, &(dt_call){DT_VERB_REDUCE, dtype, op, root, send, recv, count}, 1, IS_ROOT(comm, root));
}

dt_status dt_all_to_all(dt_comm *comm, const void *send, void *recv, int64_t count, int32_t dtype) {
    dt_call call = {DT_VERB_ALL_TO_ALL, dtype, 0, 0, send, recv, count};
    return run(comm, &call, WORLD(comm), WORLD(comm));
}

dt_status dt_comm_split(dt_comm *comm, int32_t color, int32_t key, dt_comm **part) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (!part) return leave(comm, comm_error(comm, DT_INVALID_ARGUMENT, "dt_comm_split: part is null"));
    *part = NULL;
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_comm_split between dt_group_start and dt_group_end"));
    return leave(comm, comm->transport->split(comm, color, key, part));
}

dt_status dt_alloc(dt_comm *comm, int64_t bytes, uint32_t flags, void **memory) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (!memory) return leave(comm, comm_error(comm, DT_INVALID_ARGUMENT, "dt_alloc: memory is null"));
    *memory = NULL;
    if (bytes < 1 || bytes > COUNT_MAX / comm->world_size || (flags & ~(uint32_t)DT_HUGE_PAGES))
        return leave(comm, comm_error(comm, DT_INVALID_ARGUMENT, "dt_alloc: %lld bytes, flags %#x", (long long)bytes, flags));
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_alloc between dt_group_start and dt_group_end"));
    return leave(comm, comm->transport->allocate(comm, bytes, flags, memory));
}

dt_status dt_free(dt_comm *comm, void *memory) {
    dt_status status = enter(comm);
    if (status != DT_OK || !memory) return status == DT_OK ? leave(comm, DT_OK) : status;
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_free between dt_group_start and dt_group_end"));
    return leave(comm, comm->transport->release(comm, memory));
}

dt_status dt_set_stream(dt_comm *comm, void *cu_stream) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (!comm->transport->set_stream)
        return leave(comm, comm_error(comm, DT_UNSUPPORTED, "dt_set_stream: this transport has no streams; its calls are done when they return"));
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_set_stream between dt_group_start and dt_group_end"));
    return leave(comm, comm->transport->set_stream(comm, cu_stream));
}

dt_status dt_synchronize(dt_comm *comm) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_synchronize between dt_group_start and dt_group_end"));
    return leave(comm, comm->transport->synchronize ? comm->transport->synchronize(comm) : comm->transport->state(comm));
}

/* ---- Point to point ---- */

static dt_status check_transfer(dt_comm *comm, const dt_transfer *one, bool alone) {
    const char *verb = verb_name(one->verb);
    if (one->verb != DT_VERB_SEND && one->verb != DT_VERB_RECV && one->verb != DT_VERB_RECV_REDUCE)
        return comm_error(comm, DT_INVALID_ARGUMENT, "dt_exchange: verb %d is neither send, recv nor recv_reduce", one->verb);
    if (one->peer < 0 || one->peer >= comm->world_size)
        return comm_error(comm, DT_INVALID_ARGUMENT, "%s: peer %d of %d ranks", verb, one->peer, comm->world_size);
    if (alone && one->peer == comm->rank)
        return comm_error(comm, DT_INVALID_ARGUMENT, "%s: rank %d and itself, outside a group: nobody would take the other side", verb, one->peer);
    if (one->verb == DT_VERB_RECV_REDUCE && (one->op < DT_SUM || one->op > DT_MAX))
        return comm_error(comm, DT_INVALID_ARGUMENT, "recv_reduce: operator %d; needed is sum, product, min or max", one->op);
    dt_status status = check_count(comm, verb, one->count, one->dtype, 1);
    return status != DT_OK ? status : check_buffer(comm, verb, "buffer", one->buffer, one->count * dt_dtype_bytes(one->dtype));
}

static dt_status check_transfers(dt_comm *comm, const dt_transfer *transfers, int32_t count) {
    if (count < 0 || count > DT_GROUP_TRANSFERS_MAX || (count && !transfers))
        return comm_error(comm, DT_INVALID_ARGUMENT, "dt_exchange: %d transfers; needed are 0 to %d", count, DT_GROUP_TRANSFERS_MAX);
    for (int32_t i = 0; i < count; i++) {
        dt_status status = check_transfer(comm, &transfers[i], count == 1);
        if (status != DT_OK) return status;
    }
    return DT_OK;
}

dt_status dt_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_exchange between dt_group_start and dt_group_end"));
    status = check_transfers(comm, transfers, count);
    return leave(comm, status == DT_OK && count ? comm->transport->exchange(comm, transfers, count) : status);
}

static dt_status note(dt_comm *comm, const dt_transfer *one) {
    dt_status status = check_transfer(comm, one, false);
    if (status != DT_OK) return status;
    if (comm->group_count == DT_GROUP_TRANSFERS_MAX)
        return comm_error(comm, DT_INVALID_USAGE, "a group holds up to %d sends and receives", DT_GROUP_TRANSFERS_MAX);
    if (comm->group_count == comm->group_capacity) {
        int32_t capacity = comm->group_capacity ? 2 * comm->group_capacity : 16;
        dt_transfer *grown = realloc(comm->group, (size_t)capacity * sizeof *grown);
        if (!grown) return comm_error(comm, DT_OUT_OF_MEMORY, "no memory for a group of %d transfers", capacity);
        comm->group = grown;
        comm->group_capacity = capacity;
    }
    comm->group[comm->group_count++] = *one;
    return DT_OK;
}

static dt_status transfer(dt_comm *comm, const dt_transfer *one) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (comm->grouped) return leave(comm, note(comm, one));
    status = check_transfer(comm, one, true);
    return leave(comm, status == DT_OK ? comm->transport->exchange(comm, one, 1) : status);
}

dt_status dt_send(dt_comm *comm, const void *send, int64_t count, int32_t dtype, int32_t peer) {
    return transfer(comm, &(dt_transfer){DT_VERB_SEND, peer, dtype, 0, (void *)(uintptr_t)send, count});
}

dt_status dt_recv(dt_comm *comm, void *recv, int64_t count, int32_t dtype, int32_t peer) {
    return transfer(comm, &(dt_transfer){DT_VERB_RECV, peer, dtype, 0, recv, count});
}

dt_status dt_group_start(dt_comm *comm) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_group_start inside a group"));
    comm->grouped = true;
    comm->group_count = 0;
    return leave(comm, DT_OK);
}

dt_status dt_group_end(dt_comm *comm) {
    dt_status status = enter(comm);
    if (status != DT_OK) return status;
    if (!comm->grouped) return leave(comm, comm_error(comm, DT_INVALID_USAGE, "dt_group_end without dt_group_start"));
    comm->grouped = false;
    return leave(comm, comm->group_count ? comm->transport->exchange(comm, comm->group, comm->group_count) : DT_OK);
}

dt_status dt_reduce_local(void *out, const void *left, const void *right, int64_t count, int32_t dtype, int32_t op) {
    if (count < 0 || !dt_dtype_bytes(dtype) || op < DT_SUM || op > DT_AVERAGE || (count && (!out || !left || !right))) return DT_INVALID_ARGUMENT;
    const char *both[2] = {left, right};
    char *to = out;
    reduce(reduce_select(), dtype, op, &to, 1, both, 2, count);
    return DT_OK;
}
