/* A PKCS#11 module in front of SoftHSM, for tests: it writes down each login and answers it as it is told, and
   gives out no more sessions than it is told. SoftHSM itself has no limit that could be reached. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_SESSION = 12, CLOSE_SESSION = 13, LOGIN = 18, FUNCTIONS = 68 };
enum { CKR_OK = 0, CKR_GENERAL_ERROR = 5, CKR_SESSION_COUNT = 0xb1 };

struct list {
    unsigned char version[2];
    void *function[FUNCTIONS];
};

static struct list ours;
static const struct list *theirs;
static int open_sessions;

static unsigned long open_session(unsigned long slot, unsigned long flags, void *app, void *notify, unsigned long *session) {
    const char *limit = getenv("SHIM_SESSIONS");
    unsigned long (*call)(unsigned long, unsigned long, void *, void *, unsigned long *) = theirs->function[OPEN_SESSION];
    unsigned long answer;
    if (limit && __atomic_load_n(&open_sessions, __ATOMIC_SEQ_CST) >= atoi(limit)) return CKR_SESSION_COUNT;
    answer = call(slot, flags, app, notify, session);
    if (answer == CKR_OK) __atomic_add_fetch(&open_sessions, 1, __ATOMIC_SEQ_CST);
    return answer;
}

static unsigned long close_session(unsigned long session) {
    unsigned long (*call)(unsigned long) = theirs->function[CLOSE_SESSION];
    unsigned long answer = call(session);
    if (answer == CKR_OK) __atomic_sub_fetch(&open_sessions, 1, __ATOMIC_SEQ_CST);
    return answer;
}

static unsigned long login(unsigned long session, unsigned long user, void *pin, unsigned long len) {
    unsigned long (*call)(unsigned long, unsigned long, void *, unsigned long) = theirs->function[LOGIN];
    const char *log = getenv("SHIM_LOG");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) {
        fputs("C_Login\n", file);
        fclose(file);
    }
    if (getenv("SHIM_LOGIN_ANSWER")) return strtoul(getenv("SHIM_LOGIN_ANSWER"), NULL, 0);
    return call(session, user, pin, len);
}

unsigned long C_GetFunctionList(struct list **list) {
    if (!theirs) {
        void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
        unsigned long (*get)(const struct list **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
        if (!get || get(&theirs) != CKR_OK) return CKR_GENERAL_ERROR;
        memcpy(&ours, theirs, sizeof ours);
        ours.function[OPEN_SESSION] = open_session;
        ours.function[CLOSE_SESSION] = close_session;
        ours.function[LOGIN] = login;
    }
    *list = &ours;
    return CKR_OK;
}
