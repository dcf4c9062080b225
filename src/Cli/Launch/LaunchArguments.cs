using System.CommandLine;
using System.Globalization;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>The options of <c>disttrain launch</c>. Those that torchrun takes from PET_* variables, which Kubeflow sets, are taken from them here too where they are not given.</summary>
internal sealed class LaunchArguments
{
    private const int MostProcesses = 4096, MostNodes = 256, MostRestarts = 1_000_000, DefaultPort = 29500, MostPort = 65535;

    private readonly Option<string?> _processes = new("--nproc-per-node") { Description = "ranks on this machine (1); gpu, cpu: one for each; auto: one for each GPU, or one" };
    private readonly Option<string?> _nodes = new("--nnodes") { Description = "machines, or MIN:MAX for a group that goes on with those who are there (1)" };
    private readonly Option<string?> _nodeRank = new("--node-rank") { Description = "which machine this is; 0 hosts the meeting place (default: the one with the master's address)" };
    private readonly Option<string?> _address = new("--master-addr") { Description = "host where machines and ranks meet (127.0.0.1)" };
    private readonly Option<string?> _port = new("--master-port") { Description = $"its port (one machine: any that is free; several: {DefaultPort})" };
    private readonly Option<string?> _restarts = new("--max-restarts") { Description = "how often all ranks are started again after one has failed (0)" };
    private readonly Option<string?> _logs = new("--log-dir") { Description = "folder for each rank's outputs: RUN/RESTART/rank-R.stdout.log" };
    private readonly Option<string?> _runId = new("--run-id") { Description = "the job's name (one machine: a new one)" };
    private readonly Option<string?> _monitor = new("--monitor-interval") { Description = "seconds between looks at the group (0.1)" };
    private readonly Option<string?> _grace = new("--grace") { Description = "seconds from SIGTERM to SIGKILL (30)" };
    private readonly Option<string> _cores = new("--cores") { Description = "share: each rank is bound to its part of the cores, if there are enough; all: none is bound", DefaultValueFactory = _ => "share" };

    private readonly Option<string?> _servers = new("--servers") { Description = "parameter servers besides the ranks, which are their workers; whoever dies is started again alone (0)" };
    private readonly Option<string?> _role = new("--role") { Description = "server: start only parameter servers here; worker: only workers (default: both)" };
    private readonly Option<string?> _parameterServers = new("--parameter-servers") { Description = "with --role: all parameter servers, HOST:PORT,HOST:PORT" };
    private readonly Option<string?> _serverIndex = new("--server-index") { Description = "with --role server: which of them the first one here is (0)" };

    /// <summary>Lets several nodes run without NCCL: for tests, and for programs that do not communicate or bring their own means.</summary>
    public Option<bool> AllowCpuNodes { get; } = new("--allow-cpu-nodes") { Hidden = true };

    public IEnumerable<Option> All => [_processes, _nodes, _nodeRank, _address, _port, _restarts, _logs, _runId, _monitor, _grace, _cores, _servers, _role, _parameterServers, _serverIndex, AllowCpuNodes];

    public LaunchOptions Read(ParseResult parsed, IReadOnlyList<string>? program)
    {
        if (program is null or []) throw new UsageException("launch: expected the program behind --, as in: disttrain launch --nproc-per-node 2 -- program arguments");
        CheckProgram(program[0]);
        string cores = parsed.GetValue(_cores)!;
        Choice.Check("--cores", cores, ["share", "all"]);
        (int least, int most) = Nodes(Text(parsed, _nodes, "PET_NNODES"));
        (string? endpoint, int endpointPort) = Endpoint(most > 1 ? DefaultPort : 0);
        string? address = Text(parsed, _address, "PET_MASTER_ADDR") ?? endpoint;
        bool isServed = parsed.GetValue(_servers) is not null || parsed.GetValue(_role) is not null;
        if (most > 1 && address is null && !isServed) throw new UsageException("--nnodes: expected --master-addr with the host that all machines can reach");
        LaunchOptions options = new()
        {
            Command = program,
            ProcessesPerNode = Processes(parsed),
            MinNodes = least,
            MaxNodes = most,
            NodeRank = Text(parsed, _nodeRank, "PET_NODE_RANK") is null ? null : Number(parsed, _nodeRank, "PET_NODE_RANK", 0, 0, most - 1),
            MasterAddress = address ?? "127.0.0.1",
            MasterPort = Number(parsed, _port, "PET_MASTER_PORT", endpointPort, 1, MostPort),
            MaxRestarts = Number(parsed, _restarts, "PET_MAX_RESTARTS", 0, 0, MostRestarts),
            LogFolder = Text(parsed, _logs, "PET_LOG_DIR") is { } folder ? Path.GetFullPath(folder) : null,
            RunId = RunId(Text(parsed, _runId, "PET_RDZV_ID"), most),
            MonitorInterval = Seconds(parsed, _monitor, "PET_MONITOR_INTERVAL", 0.1, 0.01, 60),
            Grace = Seconds(parsed, _grace, null, 30, 0, 86400),
            IsBound = cores == "share",
        };
        return isServed ? ReadServed(parsed, options) : CheckUnserved(parsed, options);
    }

    private LaunchOptions CheckUnserved(ParseResult parsed, LaunchOptions options) => parsed.GetValue(_parameterServers) is null && parsed.GetValue(_serverIndex) is null ? options
        : throw new UsageException("--parameter-servers and --server-index belong to --role");

    private LaunchOptions ReadServed(ParseResult parsed, LaunchOptions options)
    {
        string? role = parsed.GetValue(_role), list = parsed.GetValue(_parameterServers);
        if (role is not null) Choice.Check("--role", role, ["server", "worker"]);
        int listed = list is null ? 0 : CountServers(list);
        if (role is not null && list is null) throw new UsageException($"--role {role}: expected --parameter-servers HOST:PORT,HOST:PORT, the same for all launchers of the job");
        if (role is null && (list is not null || options.HasSeveralNodes))
            throw new UsageException("--servers with --parameter-servers or several machines: start servers by --role server and workers by --role worker, each with all --parameter-servers");
        if (role == "worker" && parsed.GetValue(_servers) is not null) throw new UsageException("--role worker starts no --servers");
        if (options.HasSeveralNodes && (options.MinNodes < options.MaxNodes || options.NodeRank is null)) throw new UsageException("--role worker on several machines: expected --nnodes as one number, and --node-rank");
        int first = Number(parsed, _serverIndex, "", 0, 0, Math.Max(0, listed - 1));
        options = options with
        {
            Role = role switch { "server" => LaunchRole.Server, "worker" => LaunchRole.Worker, _ => LaunchRole.All },
            ParameterServers = list,
            FirstServer = first,
            ServerCount = Number(parsed, _servers, "", role == "server" ? 1 : 0, role == "worker" ? 0 : 1, role == "server" ? listed - first : MostProcesses),
        };
        if (role is null && options.MasterPort != 0 && options.MasterPort + options.ServerCount - 1 > MostPort)
            throw new UsageException($"--master-port {options.MasterPort}: {options.ServerCount} servers take as many ports from there on, and {MostPort} is the last; expected at most {MostPort + 1 - options.ServerCount}");
        return options;
    }

    private static int CountServers(string list)
    {
        try
        {
            return ParameterServerEnvironment.ParseServers(list, "--parameter-servers").Count;
        }
        catch (FormatException failure)
        {
            throw new UsageException(failure.Message);
        }
    }

    private static string? Text(ParseResult parsed, Option<string?> option, string? variable) =>
        parsed.GetValue(option) ?? (variable is not null && Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null);

    private static int Number(ParseResult parsed, Option<string?> option, string variable, int otherwise, int least, int most)
    {
        if (Text(parsed, option, variable) is not { } text) return otherwise;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most
            ? number
            : throw new UsageException($"{Origin(parsed, option, variable)} {text}: expected a whole number from {least} to {most}");
    }

    // The words are torchrun's, which Kubeflow passes on. A process uses all cores, so that without GPUs one is enough.
    private int Processes(ParseResult parsed)
    {
        const string Variable = "PET_NPROC_PER_NODE";
        string? text = Text(parsed, _processes, Variable);
        if (text == "cpu") return Environment.ProcessorCount;
        if (text is not ("auto" or "gpu")) return Number(parsed, _processes, Variable, 1, 1, MostProcesses);
        IReadOnlyList<DeviceInfo> found = DeviceCatalog.List(DeviceKind.Cuda);
        int usable = found.Count(device => device.Unusable is null);
        if (usable == 0 && text == "gpu") throw new UsageException($"{Origin(parsed, _processes, Variable)} gpu: {found[0].Name}: {found[0].Unusable}");
        return Math.Max(1, usable);
    }

    // Where torchrun would meet; with several machines ours meet there too.
    private static (string? Address, int Port) Endpoint(int otherwise)
    {
        const string Variable = "PET_RDZV_ENDPOINT";
        if (Environment.GetEnvironmentVariable(Variable) is not { Length: > 0 } text) return (null, otherwise);
        int colon = text.LastIndexOf(':');
        if (colon < 0) return (text, otherwise);
        return colon > 0 && int.TryParse(text[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int port) && port is >= 1 and <= MostPort
            ? (text[..colon], port)
            : throw new UsageException($"environment variable {Variable} {text}: expected HOST:PORT");
    }

    private static TimeSpan Seconds(ParseResult parsed, Option<string?> option, string? variable, double otherwise, double least, double most)
    {
        if (Text(parsed, option, variable) is not { } text) return TimeSpan.FromSeconds(otherwise);
        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) && number >= least && number <= most
            ? TimeSpan.FromSeconds(number)
            : throw new UsageException($"{Origin(parsed, option, variable)} {text}: expected seconds from {least} to {most}");
    }

    private static string Origin(ParseResult parsed, Option<string?> option, string? variable) => parsed.GetValue(option) is null ? $"environment variable {variable}" : option.Name;

    private static (int Least, int Most) Nodes(string? text)
    {
        if (text is null) return (1, 1);
        string[] ends = text.Split(':');
        return ends.Length <= 2 && int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int least) && int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int most)
            && least >= 1 && least <= most && most <= MostNodes
            ? (least, most)
            : throw new UsageException($"--nnodes {text}: expected a number from 1 to {MostNodes}, or MIN:MAX");
    }

    private static string RunId(string? text, int nodes)
    {
        if (text is null) return nodes > 1 ? "disttrain" : $"{DateTime.UtcNow:yyyyMMdd-HHmmss}-{Environment.ProcessId}";
        // It becomes a folder and a part of messages.
        return text.Length is >= 1 and <= 64 && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' or '.') && text.Trim('.').Length > 0
            ? text
            : throw new UsageException($"--run-id {text}: expected up to 64 letters, digits, '-', '_' or '.'");
    }

    /// <summary>Looks for the program as the shell will: a message now is better than one from each rank.</summary>
    private static void CheckProgram(string program)
    {
        if (program.Length == 0) throw new UsageException("launch: the program behind -- has no name");
        IEnumerable<string> places = program.Contains('/', StringComparison.Ordinal) ? [Path.GetFullPath(program)]
            : (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':', StringSplitOptions.RemoveEmptyEntries).Select(folder => Path.Combine(folder, program));
        if (places.Any(place => File.Exists(place) && IsExecutable(place))) return;
        string hint = program.EndsWith(".dll", StringComparison.Ordinal) ? $"; start it with: -- dotnet {program}" : "";
        throw new UsageException($"launch: {program} is no program {(program.Contains('/', StringComparison.Ordinal) ? "that can be executed" : "in PATH")}{hint}");
    }

    private static bool IsExecutable(string path) =>
        OperatingSystem.IsWindows() || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0;
}
