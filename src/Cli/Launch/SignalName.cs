namespace DistTrain.Cli;

/// <summary>Signals by name and number, as Linux has them on x64 and Arm.</summary>
internal static class SignalName
{
    public const int Hangup = 1, Interrupt = 2, Kill = 9, User1 = 10, User2 = 12, Terminate = 15, Continue = 18;

    private static readonly string[] s_names =
    [
        "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT",
        "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
    ];

    public static string Of(int signal) => signal > 0 && signal < s_names.Length ? s_names[signal] : $"signal {signal}";
}
