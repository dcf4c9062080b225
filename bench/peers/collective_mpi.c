/* An MPI as a peer of `disttrain bench allreduce`: rank 0 answers questions of the protocol in README.md, all ranks then do the case together.
   Built by setup.sh with mpicc; the bench starts it with mpirun. f32 sums.

     collective VERB BYTES CALLS     e.g. collective all-reduce 1024 50

   BYTES are counted as nccl-tests counts them (README.md). Every rank writes what it sends before each call, then a barrier, and only the call is timed.
   A rank's figure is the median over the calls (where ranks outnumber cores the mean: who comes last finds all others waiting and looks fast);
   the slowest rank counts. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS_MAX = 10000, SMALL_BYTES = 1 << 20 };
enum { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST, REDUCE, ALL_TO_ALL, SEND_RECV, VERBS };
static const char *verb_names[VERBS] = {"all-reduce", "reduce-scatter", "all-gather", "broadcast", "reduce", "all-to-all", "send-recv"};

/* What rank 0 tells the others; verb -1 ends the program. */
typedef struct {
    long verb, elements, calls;
} question;

static int rank, world;
static float *sent, *received;
static long sent_capacity, received_capacity;

static float *grown(float *memory, long *capacity, long elements) {
    if (elements <= *capacity && elements > *capacity / 4) return memory;
    free(memory);
    *capacity = elements;
    size_t bytes = ((size_t)elements * sizeof(float) + 4095) / 4096 * 4096;
    memory = aligned_alloc(4096, bytes);
    if (!memory) fprintf(stderr, "rank %d: no memory for %zu bytes\n", rank, bytes), MPI_Abort(MPI_COMM_WORLD, 1);
    memset(memory, 0, bytes);
    return memory;
}

/* elements: of all data; one rank's part is elements / world. */
static void call(const question *q) {
    int all = (int)q->elements, part = all / world, next = (rank + 1) % world, before = (rank + world - 1) % world;
    MPI_Comm comm = MPI_COMM_WORLD;
    switch (q->verb) {
    case ALL_REDUCE: MPI_Allreduce(MPI_IN_PLACE, sent, all, MPI_FLOAT, MPI_SUM, comm); break;
    case REDUCE_SCATTER: MPI_Reduce_scatter_block(sent, received, part, MPI_FLOAT, MPI_SUM, comm); break;
    case ALL_GATHER: MPI_Allgather(sent, part, MPI_FLOAT, received, part, MPI_FLOAT, comm); break;
    case BROADCAST: MPI_Bcast(sent, all, MPI_FLOAT, 0, comm); break;
    case REDUCE: MPI_Reduce(rank == 0 ? MPI_IN_PLACE : sent, rank == 0 ? sent : NULL, all, MPI_FLOAT, MPI_SUM, 0, comm); break;
    case ALL_TO_ALL: MPI_Alltoall(sent, part, MPI_FLOAT, received, part, MPI_FLOAT, comm); break;
    default: MPI_Sendrecv(sent, all, MPI_FLOAT, next, 0, received, all, MPI_FLOAT, before, 0, comm, MPI_STATUS_IGNORE); break;
    }
}

static float written(int by, long call) { return (float)(by + call + 1); }

/* What the last call must have left: the first and the last element of each part. */
static int is_right(const question *q, long last) {
    long all = q->elements, part = all / world;
    float sum = 0;
    for (int r = 0; r < world; r++) sum += written(r, last);
    switch (q->verb) {
    case ALL_REDUCE: return sent[0] == sum && sent[all / 2] == sum && sent[all - 1] == sum;
    case REDUCE: return rank != 0 || (sent[0] == sum && sent[all - 1] == sum);
    case BROADCAST: return sent[0] == written(0, last) && sent[all - 1] == written(0, last);
    case REDUCE_SCATTER: return received[0] == sum && received[part - 1] == sum;
    case SEND_RECV: return received[0] == written((rank + world - 1) % world, last) && received[all - 1] == received[0];
    default:
        for (int r = 0; r < world; r++)
            if (received[r * part] != written(r, last) || received[(r + 1) * part - 1] != written(r, last)) return 0;
        return 1;
    }
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Seconds a call on the slowest rank; below 0: a result was wrong. */
static double measure(const question *q) {
    static double seconds[CALLS_MAX];
    int receives = q->verb != ALL_REDUCE && q->verb != BROADCAST && q->verb != REDUCE;
    long writes = q->verb == ALL_GATHER ? q->elements / world : q->elements;
    long warm_calls = q->elements * 4 <= SMALL_BYTES ? 2 : 1;
    sent = grown(sent, &sent_capacity, q->elements);
    if (receives) received = grown(received, &received_capacity, q->elements);
    for (long i = -warm_calls; i < q->calls; i++) {
        for (long j = 0; j < writes; j++) sent[j] = written(rank, i);
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        call(q);
        if (i >= 0) seconds[i] = MPI_Wtime() - start;
    }
    int right = is_right(q, q->calls - 1);
    double typical = 0;
    if (world <= sysconf(_SC_NPROCESSORS_ONLN)) {
        qsort(seconds, (size_t)q->calls, sizeof *seconds, by_value);
        typical = (seconds[(q->calls - 1) / 2] + seconds[q->calls / 2]) / 2;
    } else
        for (long i = 0; i < q->calls; i++) typical += seconds[i] / (double)q->calls;
    MPI_Allreduce(MPI_IN_PLACE, &typical, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &right, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    return right ? typical : -1;
}

/* The other ranks wait asleep: Open MPI's own waits would take a core from whoever's turn it is. */
static question next_question(void) {
    question q;
    int has_come = 0;
    for (MPI_Iprobe(0, 1, MPI_COMM_WORLD, &has_come, MPI_STATUS_IGNORE); !has_come; MPI_Iprobe(0, 1, MPI_COMM_WORLD, &has_come, MPI_STATUS_IGNORE)) usleep(1000);
    MPI_Recv(&q, 3, MPI_LONG, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return q;
}

static void tell(const question *q) {
    for (int r = 1; r < world; r++) MPI_Send(q, 3, MPI_LONG, r, 1, MPI_COMM_WORLD);
}

static int shares(long verb) { return verb == REDUCE_SCATTER || verb == ALL_GATHER || verb == ALL_TO_ALL; }

static void answer(const char *line) {
    char verb[32];
    long bytes, calls;
    question q = {-1, 0, 0};
    if (sscanf(line, "%*d collective %31s %ld %ld", verb, &bytes, &calls) != 3) {
        printf("unsupported\n");
        return;
    }
    for (int v = 0; v < VERBS; v++)
        if (strcmp(verb, verb_names[v]) == 0) q.verb = v;
    q.elements = bytes / 4, q.calls = calls;
    if (q.verb < 0) printf("unsupported\n");
    else if (calls < 1 || calls > CALLS_MAX || bytes < 4 || bytes % 4 || bytes / 4 > 0x7fffffff || (shares(q.verb) && q.elements % world))
        printf("error: expected 1 to %d calls and bytes of f32, shared evenly by %d ranks where each has a part; found '%s'\n", CALLS_MAX, world, line);
    else {
        tell(&q);
        double seconds = measure(&q);
        if (seconds < 0) printf("error: wrong result\n");
        else printf("%.9e\n", seconds);
    }
}

int main(int argc, char **argv) {
    char line[512], library[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    if (rank == 0) {
        MPI_Get_library_version(library, &length);
        library[strcspn(library, ",\n")] = 0;
        printf("ready %s, %d ranks\n", library, world);
        fflush(stdout);
        while (fgets(line, sizeof line, stdin)) {
            line[strcspn(line, "\r\n")] = 0;
            answer(line);
            fflush(stdout);
        }
        tell(&(question){-1, 0, 0});
    } else
        for (question q = next_question(); q.verb >= 0; q = next_question()) measure(&q);
    MPI_Finalize();
    return 0;
}
