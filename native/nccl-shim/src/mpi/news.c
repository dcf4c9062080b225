/* What ranks tell each other beside the data: failures, who waits in which call, who left. Small messages on a communicator of their own,
 * which every waiter reads now and then. Any thread may send and read them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mpi_transport.h"

struct mpi_outgoing {
    mpi_outgoing *next;
    mpi_handle request;
    mpi_news news;
};

enum { NEWS_TAG = 1, WRITING_MS = 200, DELIVERY_MS = 200, FAREWELL_TURNS = 100 };

static void nap(int64_t microseconds) { nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL); }

dt_status mpi_state(mpi *self) {
    int32_t failed = atomic_load_explicit(&self->failed, memory_order_acquire);
    if (__builtin_expect(failed == 0, 1)) return DT_OK;
    for (int ms = 0; failed == 1 && ms < WRITING_MS; ms++) {
        nap(1000);
        failed = atomic_load_explicit(&self->failed, memory_order_acquire);
    }
    return failed == 2 ? self->failure.status : DT_ABORTED;
}

/* Under news_lock: those that are sent are forgotten; true: some are under way. */
static bool sending(mpi *self) {
    for (mpi_outgoing **at = &self->outgoing; *at;) {
        mpi_outgoing *one = *at;
        bool done = false;
        if (self->adapter->test(&one->request, &done, NULL) == 0 && !done) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        free(one);
    }
    return self->outgoing != NULL;
}

/* Under news_lock. */
static void send_to_all(mpi *self, const mpi_news *news) {
    for (int32_t rank = 0; rank < self->comm.world_size; rank++) {
        if (rank == self->comm.rank || self->left[rank]) continue;
        mpi_outgoing *one = malloc(sizeof *one);
        if (!one) return;
        one->news = *news;
        if (self->adapter->send(self->news, &one->news, sizeof one->news, rank, NEWS_TAG, &one->request) != 0) {
            free(one);
            continue;
        }
        one->next = self->outgoing;
        self->outgoing = one;
    }
}

static mpi_news news_of(mpi *self, int32_t kind) {
    return (mpi_news){.group = self->group, .kind = kind, .rank = self->comm.rank, .pid = getpid(), .culprit = -1, .said = self->now};
}

/* Under news_lock. Small messages are gone as soon as they are posted; what takes longer is left to later looks, at the end to nobody. */
static void deliver(mpi *self) {
    for (int ms = 0; sending(self) && ms < DELIVERY_MS; ms++) nap(1000);
}

void mpi_announce(mpi *self) {
    mpi_news news = news_of(self, MPI_NEWS_ARRIVED);
    pthread_mutex_lock(&self->news_lock);
    send_to_all(self, &news);
    pthread_mutex_unlock(&self->news_lock);
}

void mpi_say_farewell(mpi *self) {
    mpi_news news = news_of(self, MPI_NEWS_LEFT);
    pthread_mutex_lock(&self->news_lock);
    send_to_all(self, &news);
    deliver(self);
    pthread_mutex_unlock(&self->news_lock);
    /* Ranks mostly leave together: what they say is read, so that no message is left over when MPI ends. */
    for (int turn = 0; turn < FAREWELL_TURNS && atomic_load(&self->leavers) < self->comm.world_size - 1; turn++) {
        mpi_poll_news(self);
        nap(100);
    }
}

/* What is still being sent goes when the other side looks, at MPI_Finalize at the latest: its memory stays until then. */
void mpi_forget_news(mpi *self) { self->outgoing = NULL; }

dt_status mpi_fail(mpi *self, dt_status status, mpi_culprit culprit, const char *format, ...) {
    int32_t healthy = 0;
    if (!atomic_compare_exchange_strong(&self->failed, &healthy, 1)) return mpi_state(self);
    mpi_news news = news_of(self, MPI_NEWS_FAILED);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(news.text, sizeof news.text, format, arguments);
    va_end(arguments);
    news.status = status;
    news.culprit = culprit.rank;
    news.reason = culprit.reason;
    mpi_spoil();
    pthread_mutex_lock(&self->news_lock);
    if (culprit.rank >= 0) {
        const mpi_said *last = culprit.rank == self->comm.rank ? &self->now : &self->said[culprit.rank];
        news.culprit_pid = self->pids[culprit.rank];
        news.sequence = last->sequence;
        news.verb = (uint64_t)last->verb;
    }
    self->failure = news;
    atomic_store(&self->failed, 2);
    send_to_all(self, &news);
    deliver(self);
    pthread_mutex_unlock(&self->news_lock);
    return status;
}

dt_status mpi_error(mpi *self, int code, const char *call) {
    char text[300];
    self->adapter->error_text(code, text, sizeof text);
    return mpi_fail(self, DT_SYSTEM_ERROR, (mpi_culprit){self->comm.rank, DT_REASON_NONE}, "rank %d (pid %d): %s: %s", self->comm.rank, (int)getpid(),
                    call, text);
}

/* Under news_lock. Its text is not trusted to end, nor its rank to be one. */
static void take(mpi *self, mpi_news *news, int32_t from) {
    if (news->group != self->group || news->rank != from || from < 0 || from >= self->comm.world_size) return;
    news->text[sizeof news->text - 1] = 0;
    if (news->culprit < -1 || news->culprit >= self->comm.world_size) news->culprit = -1;
    self->said[from] = news->said;
    if (news->kind == MPI_NEWS_LEFT && !self->left[from]) {
        self->left[from] = true;
        atomic_fetch_add(&self->leavers, 1);
    }
    int32_t healthy = 0;
    if (news->kind != MPI_NEWS_FAILED || news->status <= DT_OK || news->status > DT_INTERNAL_ERROR ||
        !atomic_compare_exchange_strong(&self->failed, &healthy, 1))
        return;
    mpi_spoil();
    self->failure = *news;
    atomic_store(&self->failed, 2);
}

void mpi_poll_news(mpi *self) {
    if (self->comm.world_size == 1 || pthread_mutex_trylock(&self->news_lock) != 0) return;
    if (self->outgoing) sending(self);
    for (int several = 0; several < 64; several++) {
        mpi_arrival arrival;
        bool found = false, done = false;
        mpi_news news;
        mpi_handle request;
        if (self->adapter->probe(self->news, &found, &arrival) != 0 || !found || arrival.bytes != (int64_t)sizeof news) break;
        if (self->adapter->receive(self->news, &news, sizeof news, arrival.source, NEWS_TAG, &request) != 0) break;
        while (!done && self->adapter->test(&request, &done, NULL) == 0) continue; /* it is here already */
        take(self, &news, arrival.source);
    }
    pthread_mutex_unlock(&self->news_lock);
}
