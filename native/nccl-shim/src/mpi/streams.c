/* Sends and receives, all of a group at once. A transfer goes in segments, of which a few are under way, so that a receive-and-reduce adds
 * one segment while the next ones come. Both ends cut alike; the tag carries type and number of elements, so that both ends know if they
 * speak of the same transfer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_transport.h"

typedef struct stream {
    const dt_transfer *asked;
    int64_t bytes, segments, posted, done;
    int32_t tag;
    char *scratch; /* of a receive-and-reduce: a segment for every request */
    int64_t scratch_stride;
    mpi_request request[MPI_WINDOW];
} stream;

typedef struct group {
    mpi *self;
    mpi_handle comm;
    stream *streams;
    int32_t count, complete;
    unsigned char *sending, *receiving; /* by peer: an earlier transfer has not posted all yet */
} group;

char *mpi_scratch(mpi *self, int64_t bytes) {
    if (bytes <= self->scratch_bytes) return self->scratch;
    int64_t rounded = (bytes + 4095) / 4096 * 4096;
    char *grown = aligned_alloc(4096, (size_t)rounded);
    if (!grown) return NULL;
    free(self->scratch);
    self->scratch = grown;
    self->scratch_bytes = rounded;
    return grown;
}

/* 15 bits, which every MPI has. */
static int32_t tag_of(const dt_transfer *one) { return (int32_t)((one->count % 3907) * 8 + one->dtype); }

static int64_t segment_at(const mpi *self, const stream *one, int64_t k) {
    int64_t rest = one->bytes - k * self->segment_bytes;
    return rest < self->segment_bytes ? rest : self->segment_bytes;
}

static char *place(const mpi *self, const stream *one, int64_t k) {
    return one->scratch ? one->scratch + k % MPI_WINDOW * one->scratch_stride : (char *)one->asked->buffer + k * self->segment_bytes;
}

static dt_status post_more(group *all, stream *one) {
    mpi *self = all->self;
    dt_status status = DT_OK;
    while (one->posted < one->segments && one->posted - one->done < MPI_WINDOW && status == DT_OK) {
        mpi_request *request = &one->request[one->posted % MPI_WINDOW];
        int64_t bytes = segment_at(self, one, one->posted);
        status = one->asked->verb == DT_VERB_SEND ? mpi_post_send(self, all->comm, request, place(self, one, one->posted), bytes, one->asked->peer, one->tag)
                                                  : mpi_post_receive(self, all->comm, request, place(self, one, one->posted), bytes, one->asked->peer, -1);
        one->posted++;
    }
    return status;
}

static dt_status wrong_tag(mpi *self, const stream *one, int32_t tag) {
    int32_t dtype = tag % 8;
    return mpi_fail(self, DT_MISMATCH, (mpi_culprit){one->asked->peer, DT_REASON_NONE},
                    "rank %d awaits %lld elements of %s from rank %d, which sends %s of %s", self->comm.rank, (long long)one->asked->count,
                    dtype_name(one->asked->dtype), one->asked->peer, tag / 8 == one->tag / 8 ? "as many" : "another number", dtype_name(dtype));
}

/* The oldest segment, if it is through. */
static dt_status finish_one(group *all, stream *one, bool *moved) {
    mpi *self = all->self;
    const dt_transfer *asked = one->asked;
    int32_t tag = one->tag;
    bool done;
    dt_status status = mpi_look(self, &one->request[one->done % MPI_WINDOW], &done, &tag);
    if (status == DT_OK && done && tag != one->tag) return wrong_tag(self, one, tag);
    if (status != DT_OK || !done) return status;
    *moved = true;
    if (one->scratch) {
        int64_t size = dtype_bytes(asked->dtype);
        char *to = (char *)asked->buffer + one->done * self->segment_bytes;
        const char *both[2] = {place(self, one, one->done), to};
        reduce(self->comm.kernels, asked->dtype, asked->op, &to, 1, both, 2, segment_at(self, one, one->done) / size);
    }
    all->complete += ++one->done == one->segments;
    return DT_OK;
}

static dt_status advance(group *all, bool *moved) {
    memset(all->sending, 0, (size_t)all->self->comm.world_size);
    memset(all->receiving, 0, (size_t)all->self->comm.world_size);
    for (int32_t i = 0; i < all->count; i++) {
        stream *one = &all->streams[i];
        unsigned char *busy = one->asked->verb == DT_VERB_SEND ? &all->sending[one->asked->peer] : &all->receiving[one->asked->peer];
        if (one->done == one->segments) continue;
        dt_status status = *busy ? DT_OK : post_more(all, one);
        if (status == DT_OK && one->done < one->posted) status = finish_one(all, one, moved);
        if (status != DT_OK) return status;
        *busy |= one->posted < one->segments;
    }
    return DT_OK;
}

static dt_status run(group *all) {
    mpi *self = all->self;
    dt_status status = DT_OK;
    mpi_begin_wait(self, all->streams[0].asked->peer);
    while (status == DT_OK && all->complete < all->count) {
        bool moved = false;
        status = advance(all, &moved);
        if (status != DT_OK || moved) {
            mpi_begin_wait(self, self->awaited);
            continue;
        }
        for (int32_t i = 0; i < all->count; i++)
            if (all->streams[i].done < all->streams[i].segments) {
                self->awaited = all->streams[i].asked->peer;
                break;
            }
        status = mpi_idle(self);
    }
    for (int32_t i = 0; status != DT_OK && i < all->count; i++) mpi_abandon(self, all->streams[i].request, MPI_WINDOW);
    return status;
}

/* Segments of scratch for every receive-and-reduce. */
static int64_t share_scratch(const mpi *self, stream *streams, int32_t count, char *scratch) {
    int64_t used = 0;
    for (int32_t i = 0; i < count; i++) {
        if (streams[i].asked->verb != DT_VERB_RECV_REDUCE) continue;
        streams[i].scratch_stride = (segment_at(self, &streams[i], 0) + 63) / 64 * 64;
        if (scratch) streams[i].scratch = scratch + used;
        used += streams[i].scratch_stride * (streams[i].segments < MPI_WINDOW ? streams[i].segments : MPI_WINDOW);
    }
    return used;
}

dt_status mpi_stream(mpi *self, mpi_handle comm, const dt_transfer *transfers, int32_t count) {
    enum { FEW = 8, FEW_RANKS = 64 };
    stream few[FEW], *streams = count <= FEW ? few : malloc((size_t)count * sizeof *streams);
    unsigned char few_ranks[2 * FEW_RANKS], *ranks = self->comm.world_size <= FEW_RANKS ? few_ranks : malloc(2 * (size_t)self->comm.world_size);
    dt_status status = streams && ranks ? DT_OK : DT_OUT_OF_MEMORY;
    for (int32_t i = 0; status == DT_OK && i < count; i++) {
        int64_t bytes = transfers[i].count * dtype_bytes(transfers[i].dtype);
        streams[i].asked = &transfers[i];
        streams[i].bytes = bytes;
        streams[i].segments = bytes ? (bytes + self->segment_bytes - 1) / self->segment_bytes : 1;
        streams[i].posted = streams[i].done = 0;
        streams[i].tag = tag_of(&transfers[i]);
        streams[i].scratch = NULL;
        for (int w = 0; w < MPI_WINDOW; w++) streams[i].request[w].active = false;
    }
    int64_t wanted = status == DT_OK ? share_scratch(self, streams, count, NULL) : 0;
    char *scratch = wanted ? mpi_scratch(self, wanted) : NULL;
    if (wanted && !scratch) status = DT_OUT_OF_MEMORY;
    if (scratch) share_scratch(self, streams, count, scratch);
    if (status != DT_OK)
        comm_error(&self->comm, status, "no memory for %d transfers", count);
    else
        status = run(&(group){self, comm, streams, count, 0, ranks, ranks + self->comm.world_size});
    if (streams != few) free(streams);
    if (ranks != few_ranks) free(ranks);
    return status;
}

dt_status mpi_exchange(dt_comm *comm, const dt_transfer *transfers, int32_t count) {
    mpi *self = mpi_of(comm);
    if (++self->calls % 16 == 0) mpi_poll_news(self);
    dt_status status = mpi_state(self);
    if (status != DT_OK) return status;
    const dt_transfer *first = &transfers[0];
    dt_call call = {.verb = first->verb, .dtype = first->dtype, .op = first->op, .root = first->peer, .count = first->count};
    self->now = (mpi_said){comm->sequence, first->count, first->verb, first->dtype, first->op, first->peer};
    self->exchanging = true;
    self->announced = false;
    uint64_t record = mpi_record_enter(self, &call);
    status = mpi_stream(self, self->pairs, transfers, count);
    mpi_record_leave(self, record, status);
    return status;
}
