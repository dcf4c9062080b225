using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace DistTrain.Cli.Tests;

/// <summary><c>disttrain launch --servers</c>: parameter servers and their workers as processes that die, freeze, come late and leave.</summary>
public sealed partial class ServedLaunchTests
{
    private const int KillSignal = 9, Interrupt = 2, Terminate = 15, Continue = 18, Stop = 19, StepsAnEpoch = 24;
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    [Fact]
    public void Processes_know_their_role_and_the_servers_are_stopped_when_the_workers_are_done()
    {
        using TemporaryFolder folder = new();
        ToolResult result = Launch("--servers", "2", "--nproc-per-node", "2", "--", "bash", "-c",
            "echo $DISTTRAIN_ROLE ${RANK-none} ${WORLD_SIZE-none} ${DISTTRAIN_SERVER_INDEX-none} $DISTTRAIN_PARAMETER_SERVERS ${#DISTTRAIN_JOB_SECRET}; "
            + "[ $DISTTRAIN_ROLE = worker ] && { until [ -e $1/up0 -a -e $1/up1 ]; do sleep 0.05; done; exit 0; }; trap 'echo saved; exit 0' TERM; touch $1/up$DISTTRAIN_SERVER_INDEX; sleep 60 & wait", "job", folder.Path);

        Assert.True(result.ExitCode == 0, result.Errors);
        string[] lines = result.Output.TrimEnd().Split('\n');
        string servers = lines[0].Split(' ')[^2];
        Assert.Matches(@"^127\.0\.0\.1:\d+,127\.0\.0\.1:\d+$", servers);
        Assert.Equal([$"[0] worker 0 2 none {servers} 64", $"[1] worker 1 2 none {servers} 64", $"[server 0] saved", $"[server 0] server none none 0 {servers} 64", $"[server 1] saved", $"[server 1] server none none 1 {servers} 64"], lines.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Who_dies_is_started_again_alone_as_often_as_is_allowed()
    {
        // The first server and worker 1 fail at their first start; worker 1 at its second too, by a signal.
        using TemporaryFolder folder = new();
        ToolResult result = Launch("--servers", "1", "--nproc-per-node", "3", "--max-restarts", "3", "--", "bash", "-c",
            "echo $DISTTRAIN_ROLE $RANK started $TORCHELASTIC_RESTART_COUNT; case $DISTTRAIN_ROLE$RANK$TORCHELASTIC_RESTART_COUNT in server0) exit 7;; worker10) exit 9;; worker11) kill -KILL $$;; esac; [ $DISTTRAIN_ROLE = worker ] && { until [ -e $1/up ]; do sleep 0.05; done; exit 0; }; trap 'exit 0' TERM; touch $1/up; sleep 60 & wait", "job", folder.Path);

        Assert.True(result.ExitCode == 0, result.Errors);
        Assert.Equal(["[0] worker 0 started 0", "[1] worker 1 started 0", "[1] worker 1 started 1", "[1] worker 1 started 2", "[2] worker 2 started 0", "[server 0] server started 0", "[server 0] server started 1"],
            result.Output.TrimEnd().Split('\n').Select(line => line.Replace("server  started", "server started", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Contains("server 0 starts again; workers wait for it", result.Errors, StringComparison.Ordinal);
        Assert.Matches(@"worker 1 \(pid \d+\) failed with SIGKILL; its last line:", result.Errors);
        Assert.Contains("restart 3 of 3: ", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_ends_by_the_signal_that_it_is_told_with_is_no_failure()
    {
        ToolResult result = Launch("--servers", "1", "--nproc-per-node", "1", "--", "bash", "-c", "[ $DISTTRAIN_ROLE = worker ] && exit 0; exec sleep 60");
        Assert.True(result.ExitCode == 0, result.Errors);
    }

    [Fact]
    public void When_restarts_are_used_up_all_are_stopped_and_the_code_is_the_failures()
    {
        using TemporaryFolder folder = new();
        ToolResult result = Launch("--servers", "1", "--nproc-per-node", "2", "--max-restarts", "1", "--", "bash", "-c",
            "[ $DISTTRAIN_ROLE$RANK = worker1 ] && { until [ -e $1/worker -a -e $1/server ]; do sleep 0.05; done; exit 23; }; trap 'echo stopped; exit 0' TERM; touch $1/$DISTTRAIN_ROLE; sleep 60 & wait", "job", folder.Path);

        Assert.Equal(23, result.ExitCode);
        Assert.Equal(["[0] stopped", "[server 0] stopped"], result.Output.TrimEnd().Split('\n').Order(StringComparer.Ordinal));
        Assert.Contains("all 1 restarts are used up", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_dead_worker_wrote_is_passed_on_however_slow_the_reader_is()
    {
        // More than the launcher's own output takes in: the rest waits in the worker's pipe when the worker is gone and the next one has ended.
        using Launched launched = new("--servers", "1", "--nproc-per-node", "1", "--max-restarts", "1", "--", "bash", "-c",
            "[ $DISTTRAIN_ROLE = server ] && exec sleep 60; [ $TORCHELASTIC_RESTART_COUNT = 1 ] && exit 0; for i in {1..1400}; do printf '%080d\n' $i; done; exit 3");
        Thread.Sleep(4000);
        ToolResult result = launched.AwaitEnd();

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("worker 0 starts again", result.Errors, StringComparison.Ordinal);
        Assert.Equal(Enumerable.Range(1, 1400).Select(i => $"[0] {i:D80}"), result.Output.TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public void A_signal_ends_the_workers_first_and_then_the_servers(int signal)
    {
        using Launched launched = new("--servers", "1", "--nproc-per-node", "2", "--", "bash", "-c",
            "trap '[ $DISTTRAIN_ROLE = worker ] && sleep 0.5; echo $DISTTRAIN_ROLE ended at $EPOCHREALTIME; exit 0' INT TERM; sleep 60 & echo $$ $! ready; while :; do wait; done");
        int[] processes = launched.AwaitReady(6);
        launched.Signal(signal);
        ToolResult result = launched.AwaitEnd();

        Assert.Equal(0, result.ExitCode);
        // By the times they tell: lines of two processes are passed on side by side.
        Dictionary<string, decimal> ends = result.Output.TrimEnd().Split('\n').Select(line => EndLine().Match(line)).ToDictionary(match => match.Groups[1].Value, match => decimal.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
        Assert.Equal(["[0] worker ended", "[1] worker ended", "[server 0] server ended"], ends.Keys.Order(StringComparer.Ordinal));
        Assert.True(ends.MaxBy(end => end.Value).Key == "[server 0] server ended", result.Output);
        Launched.AssertGone(processes, TimeSpan.Zero);
    }

    [Fact]
    public void When_the_launcher_is_killed_servers_and_workers_are_gone_within_a_second()
    {
        using Launched launched = new("--servers", "1", "--nproc-per-node", "2", "--", "bash", "-c", "trap '' TERM HUP; sleep 65 & echo $$ $! ready; wait");
        int[] processes = launched.AwaitReady(6);
        launched.Signal(KillSignal);
        Launched.AssertGone(processes, TimeSpan.FromSeconds(1));
    }

    [Theory]
    [InlineData("--role server: expected --parameter-servers HOST:PORT,HOST:PORT, the same for all launchers of the job", "--role", "server")]
    [InlineData("--role chief: expected server, worker.", "--role", "chief")]
    [InlineData("--role worker starts no --servers", "--role", "worker", "--servers", "1", "--parameter-servers", "a:1")]
    [InlineData("--servers 0: expected a whole number from 1 to 4096", "--servers", "0")]
    [InlineData("--servers 2: expected a whole number from 1 to 1", "--role", "server", "--servers", "2", "--parameter-servers", "a:1")]
    [InlineData("--parameter-servers: expected parameter servers as HOST:PORT,HOST:PORT, found 'a'", "--role", "worker", "--parameter-servers", "a")]
    [InlineData("--parameter-servers and --server-index belong to --role", "--parameter-servers", "a:1")]
    [InlineData("--master-port 65535: 2 servers take as many ports from there on, and 65535 is the last; expected at most 65534", "--servers", "2", "--master-port", "65535")]
    [InlineData("--role: all launchers of the job must have the same job secret", "--role", "worker", "--parameter-servers", "a:1")]
    [InlineData("--role worker on several machines: expected --nnodes as one number, and --node-rank", "--role", "worker", "--parameter-servers", "a:1", "--nnodes", "2")]
    public void What_can_t_be_combined_is_said_before_anything_starts(string message, params string[] arguments)
    {
        ToolResult result = Launch([.. arguments, "--", "true"]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(message, result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_is_killed_again_and_again_while_three_workers_train_costs_no_accuracy_and_no_step()
    {
        using TemporaryFolder folder = new();
        Process job = Train(folder, servers: 1, workers: 3, epochs: 8, "--max-restarts", "10");
        for (int kill = 0; kill < (s_isSoak ? 8 : 2); kill++)
        {
            // Not before it has saved something since it was killed last.
            int server = AwaitProcess(folder, "server", 0, notId: 0);
            AwaitSteps(folder, (kill + 1) * 40);
            Signal(server, KillSignal);
            AwaitProcess(folder, "server", 0, notId: server);
        }
        (string output, string errors) = AwaitEnd(job);
        JsonElement report = JsonDocument.Parse(output.Trim().Split('\n')[^1][4..]).RootElement;
        Assert.InRange(report.GetProperty("testAccuracy").GetDouble(), 0.93, 1);
        // As the server tells it: three workers are seldom all alone.
        Assert.InRange(report.GetProperty("meanStaleness").GetDouble(), 0.01, 10);
        Assert.InRange(report.GetProperty("largestStaleness").GetInt64(), 1, 100);
        Assert.Equal(8 * StepsAnEpoch, StepsDone(errors));
        Assert.Matches("server 0 starts again; workers wait for it", errors);
        AssertNothingLeft(folder);
    }

    [Fact]
    public void Workers_that_are_killed_and_frozen_at_random_moments_cost_no_step()
    {
        using TemporaryFolder folder = new();
        Random random = new(s_isSoak ? Environment.TickCount : 3);
        Process job = Train(folder, servers: 2, workers: 3, epochs: 8, "--max-restarts", "100");
        AwaitSteps(folder, 10);
        for (int trouble = 0; trouble < (s_isSoak ? 30 : 4) && !job.HasExited; trouble++)
        {
            int worker = random.Next(3), id = FindProcess(folder, "worker", worker);
            Thread.Sleep(random.Next(50, 500));
            if (id == 0) continue;
            if (trouble % 2 == 0)
            {
                Signal(id, KillSignal);
            }
            else
            {
                Signal(id, Stop);
                Thread.Sleep(random.Next(200, 800));
                Signal(id, Continue);
            }
        }
        (_, string errors) = AwaitEnd(job);
        Assert.Equal(8 * StepsAnEpoch, StepsDone(errors));
        Assert.Contains("the others go on", errors, StringComparison.Ordinal);
        AssertNothingLeft(folder);
    }

    [Fact]
    public void Workers_whose_server_lost_what_it_had_leave_with_the_retryable_code()
    {
        using TemporaryFolder folder = new();
        // No checkpoints: a server that dies takes the values with it.
        Process job = Tool.Begin(["launch", "--servers", "1", "--nproc-per-node", "2", "--max-restarts", "1", "--run-id", RunId(folder), "--", "dotnet", Tool.Program,
            "train", "--strategy", "parameter-server", "--data", "digits", "--model", "mlp", "--epochs", "100000", "--output", folder["run"], "--log-every", "1"]);
        int server = AwaitProcess(folder, "server", 0, notId: 0);
        Assert.True(SpinWait.SpinUntil(() => Directory.Exists(folder["run"]) && Directory.EnumerateFiles(folder["run"], "*", SearchOption.AllDirectories).Any(file => new FileInfo(file).Length > 2000), TimeSpan.FromSeconds(60)), "no metrics");
        Signal(server, KillSignal);
        (_, string errors) = AwaitEnd(job, code: 75);
        Assert.Contains("was started again and has no values any more", errors, StringComparison.Ordinal);
        AssertNothingLeft(folder);
    }

    [Theory]
    [InlineData(Interrupt, 130)]
    [InlineData(Terminate, 75)]
    public void A_worker_that_waits_for_its_server_ends_when_it_is_told_to(int signal, int code)
    {
        using TemporaryFolder folder = new();
        using Process worker = Tool.BeginWith(
            [("DISTTRAIN_ROLE", "worker"), ("DISTTRAIN_PARAMETER_SERVERS", $"127.0.0.1:{FreePort()}"), ("DISTTRAIN_JOB_SECRET", Convert.ToHexString(RandomNumberGenerator.GetBytes(32)))],
            ["train", "--strategy", "parameter-server", "--data", "digits", "--model", "mlp", "--checkpoint", folder["checkpoints"], "--output", folder["run"]]);
        Assert.StartsWith("worker 0 of 1, parameter server", worker.StandardError.ReadLine(), StringComparison.Ordinal);
        Thread.Sleep(1000);
        Signal(worker.Id, signal);
        AwaitEnd(worker, code);
    }

    [Fact]
    public void Servers_and_workers_of_several_launchers_meet_and_workers_come_late_and_leave()
    {
        using TemporaryFolder folder = new();
        (string, string?)[] secret = [("DISTTRAIN_JOB_SECRET", Convert.ToHexString(RandomNumberGenerator.GetBytes(32)))];
        string servers = $"127.0.0.1:{FreePort()}";
        string[] Role(string role, int nodeRank) => ["launch", "--role", role, "--parameter-servers", servers, .. (string[])(role == "worker" ? ["--nnodes", "2", "--node-rank", $"{nodeRank}"] : []), "--run-id", RunId(folder), "--", "dotnet", Tool.Program, .. Training(folder, 8)];
        Process first = Tool.BeginWith(secret, Role("worker", 0));
        Process server = Tool.BeginWith(secret, Role("server", 0));
        AwaitSteps(folder, 10);
        Process second = Tool.BeginWith(secret, Role("worker", 1));
        int leaving = AwaitProcess(folder, "worker", 1, notId: 0);
        Thread.Sleep(1500);
        // Leaves in the middle, by its launcher.
        Signal(second.Id, Terminate);
        string outputs = first.StandardOutput.ReadToEnd();
        Assert.True(first.WaitForExit(90_000) && first.ExitCode == 0, outputs + first.StandardError.ReadToEnd());
        Assert.True(second.WaitForExit(30_000));
        Launched.AssertGone([leaving], TimeSpan.Zero);
        Assert.False(server.HasExited);
        Signal(server.Id, Terminate);
        string errors = server.StandardError.ReadToEnd();
        Assert.True(server.WaitForExit(30_000) && server.ExitCode == 0, errors);
        Assert.Equal(8 * StepsAnEpoch, StepsDone(errors));
        AssertNothingLeft(folder);
    }

    [Fact]
    public void With_TLS_files_in_the_environment_a_job_runs_and_a_worker_of_another_authority_does_not_get_in()
    {
        using TemporaryFolder folder = new(), strangers = new();
        (string, string?)[] own = WriteCertificates(folder), other = WriteCertificates(strangers);
        (string, string?) secret = ("DISTTRAIN_JOB_SECRET", Convert.ToHexString(RandomNumberGenerator.GetBytes(32)));
        string servers = $"127.0.0.1:{FreePort()}";
        string[] worker = ["launch", "--role", "worker", "--parameter-servers", servers, "--run-id", RunId(folder), "--", "dotnet", Tool.Program, "train", "--strategy", "parameter-server", "--data", "digits", "--model", "mlp", "--steps", "5"];
        Process server = Tool.BeginWith([.. own, secret], ["launch", "--role", "server", "--parameter-servers", servers, "--run-id", RunId(folder), .. worker[7..]]);

        ToolResult stranger = Tool.RunWith([.. other, secret], [.. worker, "--output", strangers["run"]]);
        Assert.Equal(1, stranger.ExitCode);
        Assert.Contains($"parameter server {servers}: TLS failed:", stranger.Errors, StringComparison.Ordinal);
        ToolResult good = Tool.RunWith([.. own, secret], [.. worker, "--output", folder["run"]]);
        Assert.True(good.ExitCode == 0, good.Errors);

        Signal(server.Id, Terminate);
        string errors = server.StandardError.ReadToEnd();
        Assert.Contains("TLS with certificates on both sides", errors, StringComparison.Ordinal);
        Assert.Equal(5, StepsDone(errors));
        AssertNothingLeft(folder);
    }

    /// <summary>Makes an authority and a certificate for both sides, and says where they are.</summary>
    private static (string, string?)[] WriteCertificates(TemporaryFolder folder)
    {
        using ECDsa authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256), key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest authority = new("CN=authority", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        using X509Certificate2 root = authority.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
        CertificateRequest request = new("CN=node", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], critical: false));
        SubjectAlternativeNameBuilder names = new();
        names.AddIpAddress(System.Net.IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 node = request.Create(root, root.NotBefore, root.NotAfter, [1, 2, 3, 4]);
        File.WriteAllText(folder["authority.pem"], root.ExportCertificatePem());
        File.WriteAllText(folder["node.pem"], node.ExportCertificatePem());
        File.WriteAllText(folder["node.key"], key.ExportPkcs8PrivateKeyPem());
        return [("DISTTRAIN_TLS_CERTIFICATE", folder["node.pem"]), ("DISTTRAIN_TLS_KEY", folder["node.key"]), ("DISTTRAIN_TLS_AUTHORITY", folder["authority.pem"])];
    }

    private static ToolResult Launch(params string[] arguments) => Tool.Run(["launch", .. arguments]);

    private static string RunId(TemporaryFolder folder) => Path.GetFileName(folder.Path);

    private static string[] Training(TemporaryFolder folder, int epochs) =>
        ["train", "--strategy", "parameter-server", "--data", "digits", "--model", "mlp", "--epochs", $"{epochs}", "--seed", "3", "--checkpoint", folder["checkpoints"], "--checkpoint-every", "10", "--output", folder["run"], "--log-every", "1", "--json"];

    private static Process Train(TemporaryFolder folder, int servers, int workers, int epochs, params string[] options) => Tool.Begin(
        ["launch", "--servers", $"{servers}", "--nproc-per-node", $"{workers}", "--run-id", RunId(folder), .. options, "--", "dotnet", Tool.Program, .. Training(folder, epochs)]);

    private static (string Output, string Errors) AwaitEnd(Process job, int code = 0)
    {
        using (job)
        {
            Task<string> output = job.StandardOutput.ReadToEndAsync(), errors = job.StandardError.ReadToEndAsync();
            bool hasEnded = job.WaitForExit(150_000);
            if (!hasEnded) Signal(job.Id, Terminate);
            Assert.True(hasEnded && job.ExitCode == code, $"{(hasEnded ? job.ExitCode : "it did not end")}\n{errors.Result}");
            return (output.Result, errors.Result);
        }
    }

    // Of the first server, which counts for all.
    private static long StepsDone(string errors) => long.Parse(StepsDoneLine().Match(errors).Groups[1].Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture);

    /// <summary>Waits until the first server has saved an update of at least that number.</summary>
    private static void AwaitSteps(TemporaryFolder folder, int steps)
    {
        string[] places = [folder["checkpoints"], Path.Combine(folder["checkpoints"], "server-0")];
        bool HasSaved() => places.Where(Directory.Exists).SelectMany(Directory.GetDirectories).Any(path => Path.GetFileName(path) is ['s', 't', 'e', 'p', '-', .. string number] && long.TryParse(number, out long step) && step >= steps && File.Exists(Path.Combine(path, "manifest.json")));
        Assert.True(SpinWait.SpinUntil(HasSaved, TimeSpan.FromSeconds(60)), $"no checkpoint of update {steps}");
    }

    private static int AwaitProcess(TemporaryFolder folder, string role, int index, int notId)
    {
        int id = 0;
        Assert.True(SpinWait.SpinUntil(() => (id = FindProcess(folder, role, index)) != 0 && id != notId, TimeSpan.FromSeconds(30)), $"{role} {index} does not come");
        return id;
    }

    /// <summary>The process of a job by its environment; 0: it is not there.</summary>
    private static int FindProcess(TemporaryFolder folder, string role, int? index) => Directory.EnumerateDirectories("/proc").Select(path => Path.GetFileName(path)).Where(name => name.All(char.IsAsciiDigit)).FirstOrDefault(name =>
    {
        try
        {
            string[] variables = File.ReadAllText($"/proc/{name}/environ").Split('\0');
            return variables.Contains($"TORCHELASTIC_RUN_ID={RunId(folder)}") && variables.Contains($"DISTTRAIN_ROLE={role}")
                && (index is null || variables.Contains($"{(role == "server" ? "DISTTRAIN_SERVER_INDEX" : "RANK")}={index}"));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }) is { } found ? int.Parse(found, CultureInfo.InvariantCulture) : 0;

    private static void AssertNothingLeft(TemporaryFolder folder)
    {
        Assert.Equal(0, FindProcess(folder, "server", null));
        Assert.Equal(0, FindProcess(folder, "worker", null));
    }

    private static int FreePort()
    {
        using System.Net.Sockets.TcpListener listener = new(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static void Signal(int id, int signal) => _ = Kill(id, signal);

    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);

    [GeneratedRegex(@"^(\[.+ ended) at (\d+\.\d+)$")]
    private static partial Regex EndLine();

    [GeneratedRegex(@"parameter server 0: [\d,]+ updates, ([\d,]+) steps done")]
    private static partial Regex StepsDoneLine();
}
