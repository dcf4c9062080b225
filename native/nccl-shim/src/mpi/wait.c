/* Waiting without ever blocking inside MPI: look, and between looks read the news, the clock and give the core away. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mpi_transport.h"

enum { LOOKS_BETWEEN_CLOCKS = 64, YIELD_NS = 1000 * 1000, SLEEP_NS = 20 * 1000 * 1000, ANNOUNCE_NS = 100 * 1000 * 1000, LEFT_NS = 300 * 1000 * 1000 };

void mpi_begin_wait(mpi *self, int32_t awaited) {
    self->tests = 0;
    self->wait_start_ns = 0;
    self->awaited = awaited;
}

static void said_text(mpi *self, int32_t rank, char *text, size_t bytes) {
    const mpi_said *said = rank == self->comm.rank ? &self->now : &self->said[rank];
    if (said->verb == 0)
        snprintf(text, bytes, "it has not said where it is");
    else
        call_text(text, bytes, said->sequence, said->verb, said->dtype, said->op, said->root, said->count);
}

/* A rank that waits in this very collective, or in one after it. */
static bool has_arrived(mpi *self, int32_t rank) {
    return rank == self->comm.rank || (self->said[rank].verb != 0 && self->said[rank].sequence >= self->now.sequence);
}

static dt_status late(mpi *self) {
    char mine[160], theirs[160], who[300] = "";
    size_t used = 0;
    int32_t first = -1, behind = 0;
    said_text(self, self->comm.rank, mine, sizeof mine);
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        bool partner = rank == self->awaited;
        if (self->exchanging ? !partner : has_arrived(self, rank)) continue;
        if (behind++ == 0) first = rank;
        said_text(self, rank, theirs, sizeof theirs);
        if (used + 210 < sizeof who)
            used += (size_t)snprintf(who + used, sizeof who - used, "%srank %d (pid %d; last said: %s)", used ? ", " : "", rank, self->pids[rank], theirs);
    }
    return mpi_fail(self, DT_TIMEOUT, (mpi_culprit){behind == 1 ? first : -1, DT_REASON_NONE},
                    "rank %d (pid %d) timed out after %lld ms in %s; %s: %s", self->comm.rank, (int)getpid(),
                    (long long)atomic_load(&self->comm.timeout_ms), mine, self->exchanging ? "its partner is" : "not arrived", behind ? who : "nobody any more");
}

/* A rank that waits in another collective under the same number. */
static dt_status compare_said(mpi *self) {
    for (int32_t rank = 0; rank < self->comm.world_size && !self->exchanging; rank++) {
        const mpi_said *theirs = &self->said[rank], *mine = &self->now;
        if (rank == self->comm.rank || theirs->verb == 0 || theirs->sequence != mine->sequence || theirs->verb == DT_VERB_SEND ||
            theirs->verb == DT_VERB_RECV || theirs->verb == DT_VERB_RECV_REDUCE || memcmp(theirs, mine, sizeof *mine) == 0)
            continue;
        char here[160], there[160];
        said_text(self, self->comm.rank, here, sizeof here);
        said_text(self, rank, there, sizeof there);
        return mpi_fail(self, DT_MISMATCH, (mpi_culprit){-1, DT_REASON_NONE}, "rank %d called %s, rank %d called %s", self->comm.rank, here, rank, there);
    }
    return DT_OK;
}

static dt_status find_leaver(mpi *self) {
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        if (!self->left[rank] || (self->awaited >= 0 && self->awaited != rank)) continue;
        /* It may have done its part of this very collective before it left: then what this rank waits for is under way. */
        if (!self->exchanging && has_arrived(self, rank)) continue;
        return mpi_fail(self, DT_PEER_LOST, (mpi_culprit){rank, DT_REASON_LEFT},
                        "rank %d (pid %d) has destroyed its communicator while rank %d waits in %s", rank, self->pids[rank], self->comm.rank,
                        verb_name(self->now.verb));
    }
    return DT_OK;
}

static dt_status look_around(mpi *self) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec, waited;
    if (self->wait_start_ns == 0) self->wait_start_ns = now;
    waited = now - self->wait_start_ns;
    mpi_poll_news(self);
    dt_status status = mpi_state(self);
    if (status != DT_OK) return status;
    if (waited > ANNOUNCE_NS) {
        if (!self->announced) mpi_announce(self);
        self->announced = true;
        if ((status = compare_said(self)) != DT_OK) return status;
    }
    if (waited > LEFT_NS && atomic_load(&self->leavers) > 0 && (status = find_leaver(self)) != DT_OK) return status;
    if (waited / 1000000 >= atomic_load(&self->comm.timeout_ms)) return late(self);
    if (waited > SLEEP_NS)
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000}, NULL);
    else if (waited > YIELD_NS)
        sched_yield();
    return DT_OK;
}

dt_status mpi_idle(mpi *self) {
    if (self->oversubscribed) sched_yield();
    if (++self->tests % LOOKS_BETWEEN_CLOCKS != 0 && (self->wait_start_ns == 0 || self->tests % 4 != 0)) {
        if (__builtin_expect(atomic_load_explicit(&self->failed, memory_order_relaxed) == 0, 1)) return DT_OK;
        return mpi_state(self);
    }
    return look_around(self);
}

dt_status mpi_post_send(mpi *self, mpi_handle comm, mpi_request *request, const void *from, int64_t bytes, int32_t peer, int32_t tag) {
    *request = (mpi_request){.bytes = bytes, .peer = peer};
    int code = self->adapter->send(comm, from, (int)bytes, peer, tag, &request->handle);
    request->active = code == 0;
    return code == 0 ? DT_OK : mpi_error(self, code, "MPI_Isend");
}

dt_status mpi_post_receive(mpi *self, mpi_handle comm, mpi_request *request, void *to, int64_t bytes, int32_t peer, int32_t tag) {
    *request = (mpi_request){.bytes = bytes, .peer = peer, .receives = true};
    int code = self->adapter->receive(comm, to, (int)bytes, peer, tag, &request->handle);
    request->active = code == 0;
    return code == 0 ? DT_OK : mpi_error(self, code, "MPI_Irecv");
}

dt_status mpi_look(mpi *self, mpi_request *request, bool *done, int32_t *tag) {
    mpi_arrival arrival;
    *done = false;
    int code = self->adapter->test(&request->handle, done, request->receives ? &arrival : NULL);
    if (__builtin_expect(!*done, 0)) return DT_OK;
    request->active = false;
    bool truncated = code != 0 && request->receives && self->adapter->is_truncation(code);
    if (code != 0 && !truncated) return mpi_error(self, code, request->receives ? "MPI_Irecv" : request->peer < 0 ? "a collective" : "MPI_Isend");
    bool other = tag && request->receives && arrival.tag != *tag;
    if (other) *tag = arrival.tag;
    if (!request->receives || other || (!truncated && arrival.bytes == request->bytes)) return DT_OK;
    char mine[160];
    said_text(self, self->comm.rank, mine, sizeof mine);
    return mpi_fail(self, DT_MISMATCH, (mpi_culprit){request->peer, DT_REASON_NONE}, "rank %d in %s awaits %lld bytes from rank %d, which sent %s", self->comm.rank,
                    mine, (long long)request->bytes, request->peer, truncated ? "more" : "fewer");
}

dt_status mpi_complete(mpi *self, mpi_request *request) {
    if (!request->active) return DT_OK;
    mpi_begin_wait(self, request->peer);
    for (;;) {
        bool done;
        dt_status status = mpi_look(self, request, &done, NULL);
        if (status != DT_OK || done) return status;
        if ((status = mpi_idle(self)) != DT_OK) return status;
    }
}

/* After a failure. Receives that nothing has come for are taken back; what MPI holds on to stays, with the memory that it may still write. */
void mpi_abandon(mpi *self, mpi_request *requests, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        if (requests[i].active && requests[i].receives) self->adapter->cancel(&requests[i].handle);
    for (int ms = 0; ms < 20; ms++) {
        int32_t left = 0;
        for (int32_t i = 0; i < count; i++) {
            bool done = false;
            if (requests[i].active && self->adapter->test(&requests[i].handle, &done, NULL) == 0 && !done)
                left++;
            else
                requests[i].active = false;
        }
        if (left == 0) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
