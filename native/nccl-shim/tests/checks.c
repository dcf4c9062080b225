/* Checks that name what does not hold, for ranks of every kind. */
#include "ranks.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    char text[1500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s does not hold: %s\n", file, line, condition, text);
    fflush(stderr);
    _exit(1);
}

void expect_status(const char *file, int line, const char *call, dt_comm *comm, dt_status status, dt_status wanted) {
    char text[1024] = "";
    if (status == wanted) return;
    if (comm) dt_last_error(comm, text, sizeof text);
    check_failed(file, line, call, "it gave %d (%s), wanted %d (%s); %s", status, dt_status_text(status), wanted, dt_status_text(wanted), text);
}

void expect_text(const char *file, int line, dt_comm *comm, const char *const *parts) {
    char text[1024] = "";
    dt_last_error(comm, text, sizeof text);
    for (; *parts; parts++)
        if (!strstr(text, *parts)) check_failed(file, line, "the text of the error", "\"%s\" is not in \"%s\"", *parts, text);
}

void fresh_address(char address[64]) {
    static atomic_int number;
    snprintf(address, 64, "@disttrain-test-%d-%d", (int)getpid(), atomic_fetch_add(&number, 1));
}

bool begin_test(int argc, char **argv, const char *name) {
    if (argc > 1 && !strstr(name, argv[1])) return false;
    printf("  %s\n", name);
    fflush(stdout);
    return true;
}
