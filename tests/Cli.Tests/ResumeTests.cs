using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.Cli.Tests;

/// <summary>A run that is killed at any moment and started again ends with the weights of the unbroken run, bit for bit.</summary>
public sealed partial class ResumeTests
{
    private const int Kill = 9, Terminate = 15, User1 = 10;
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    [Theory]
    [InlineData("cpu")]
    [InlineData("cpu:0/2,cpu:1/2")]
    public void Killed_at_random_moments_a_run_ends_with_the_weights_of_the_unbroken_one(string device)
    {
        using TemporaryFolder folder = new();
        byte[] unbroken = Weights(Tool.Run([.. Arguments(device), "--sample-log", folder["samples"], "--output", folder["unbroken"]]), folder["unbroken"]);
        string[] history = SampleHistory.Of(folder["samples"]);
        Random random = new(s_isSoak ? Environment.TickCount : device.Length);
        for (int kill = 0, trial = 0; kill < (s_isSoak ? 50 : 3); trial++)
        {
            string[] arguments = [.. Arguments(device), "--checkpoint", folder[$"checkpoints{trial}"], "--checkpoint-every", "1", "--sample-log", folder[$"samples{trial}"], "--output", folder[$"run{trial}"]];
            // Killed again and again until it comes through: each time a little later than it takes to start.
            for (int delay = random.Next(250, 700); ; delay += random.Next(300))
            {
                (int exitCode, string errors) = RunAndSignal(arguments, Kill, TimeSpan.FromMilliseconds(delay));
                if (exitCode == 0) break;
                Assert.True(exitCode == 128 + Kill, errors);
                kill++;
            }
            Assert.Equal(unbroken, File.ReadAllBytes(Path.Combine(folder[$"run{trial}"], "weights.safetensors")));
            Assert.Equal(history, SampleHistory.Of(folder[$"samples{trial}"]));
        }
    }

    [Fact]
    public async Task Two_processes_train_to_the_bits_of_two_replicas_in_one()
    {
        using TemporaryFolder folder = new();
        string[] common = ["train", "--data", "digits", "--model", "mlp", "--steps", "30", "--seed", "5"];
        byte[] mirrored = Weights(Tool.Run([.. common, "--device", "cpu:0/2,cpu:1/2", "--output", folder["mirrored"]]), folder["mirrored"]);
        string secret = Convert.ToHexString(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)), run = Guid.NewGuid().ToString("N");

        ToolResult[] ranks = await Task.WhenAll( Enumerable.Range(0, 2).Select(rank => Task.Run(() => Tool.RunWith(
            [("RANK", $"{rank}"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", $"{rank}"), ("LOCAL_WORLD_SIZE", "2"), ("TORCHELASTIC_RUN_ID", run), ("DISTTRAIN_JOB_SECRET", secret)],
            [.. common, "--output", folder["processes"]]))));

        Assert.Equal(mirrored, Weights(ranks[0], folder["processes"]));
        Assert.True(ranks[1].ExitCode == 0, ranks[1].Errors);
        // Only the first process speaks and writes.
        Assert.Equal("", ranks[1].Output);
    }

    [Fact]
    public void When_one_of_two_processes_is_killed_the_other_says_so_and_both_go_on_to_the_same_bits()
    {
        using TemporaryFolder folder = new();
        byte[] unbroken = Weights(Tool.Run([.. Arguments("cpu:0/2,cpu:1/2"), "--sample-log", folder["unbroken samples"], "--output", folder["unbroken"]]), folder["unbroken"]);
        string[] history = SampleHistory.Of(folder["unbroken samples"]);
        string secret = Convert.ToHexString(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));
        Random random = new(s_isSoak ? Environment.TickCount : 4);
        for (int kills = 0, trial = 0; kills < (s_isSoak ? 50 : 2); trial++)
        {
            string[] arguments = [.. Arguments("cpu"), "--checkpoint", folder[$"checkpoints{trial}"], "--checkpoint-every", "1", "--sample-log", folder[$"samples{trial}"], "--output", folder[$"run{trial}"]];
            string run = Guid.NewGuid().ToString("N");
            for (int restart = 0; ; restart++)
            {
                // Not for ever: some trials come to the end because nobody kills any more.
                int victim = restart < (s_isSoak ? 10 : 2) ? random.Next(2) : -1;
                int[] exits = RunTwo(arguments, run, restart, victim, random.Next(400));
                if (exits is [0, 0]) break;
                kills++;
                Assert.Equal(128 + Kill, exits[victim]);
                Assert.True(exits[1 - victim] is 75 or 0, $"restart {restart}: {string.Join(' ', exits)}");
            }
            Assert.Equal(unbroken, File.ReadAllBytes(Path.Combine(folder[$"run{trial}"], "weights.safetensors")));
            Assert.Equal(history, SampleHistory.Of(folder[$"samples{trial}"], folder[$"samples{trial}.1"]));
        }

        int[] RunTwo(string[] arguments, string run, int restart, int victim, int delay)
        {
            Process[] ranks = [.. Enumerable.Range(0, 2).Select(rank => Tool.BeginWith(
                [("RANK", $"{rank}"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", $"{rank}"), ("LOCAL_WORLD_SIZE", "2"), ("TORCHELASTIC_RUN_ID", run), ("TORCHELASTIC_RESTART_COUNT", $"{restart}"), ("DISTTRAIN_JOB_SECRET", secret)],
                arguments))];
            try
            {
                foreach (Process rank in ranks) rank.OutputDataReceived += (_, _) => { };
                foreach (Process rank in ranks) rank.BeginOutputReadLine();
                ranks[1].ErrorDataReceived += (_, _) => { };
                ranks[1].BeginErrorReadLine();
                // The first process announces the run when both have joined; behind that a lost peer is known at once.
                while (ranks[0].StandardError.ReadLine() is { } line && !line.Contains("steps an epoch", StringComparison.Ordinal))
                {
                }
                Task<string> rest = ranks[0].StandardError.ReadToEndAsync();
                if (victim >= 0 && !ranks[victim].WaitForExit(delay)) _ = SendSignal(ranks[victim].Id, Kill);
                // Where nobody is killed, all steps are left to do.
                TimeSpan limit = TimeSpan.FromMinutes(victim < 0 ? 3 : 1);
                for (int rank = 0; rank < 2; rank++)
                    Assert.True(ranks[rank].WaitForExit(limit), $"rank {rank} goes on after {limit}, {(victim < 0 ? "nobody" : $"rank {victim}")} was killed after {delay} ms, restart {restart}: {string.Join(' ', ranks.Select(r => r.HasExited ? $"{r.ExitCode}" : $"pid {r.Id}"))}");
                return [.. ranks.Select(rank => rank.ExitCode)];
            }
            finally
            {
                foreach (Process rank in ranks)
                {
                    if (!rank.HasExited) rank.Kill();
                    rank.Dispose();
                }
            }
        }
    }

    [Theory]
    [InlineData("none")]
    [InlineData("topk:0.05")]
    public void Launch_brings_a_group_back_whose_rank_was_killed_and_it_ends_with_the_bits_of_the_unbroken_run(string compression)
    {
        using TemporaryFolder folder = new();
        byte[] unbroken = Weights(Tool.Run([.. Arguments("cpu:0/2,cpu:1/2"), "--gradient-compression", compression, "--sample-log", folder["unbroken samples"], "--output", folder["unbroken"]]), folder["unbroken"]);
        // The first time, rank 1 is killed as soon as there is a checkpoint.
        const string Script = """
            if [ "$RANK" = 1 ] && [ "$TORCHELASTIC_RESTART_COUNT" = 0 ]; then
                ( for i in $(seq 600); do ls "$1"/step-*/manifest.json >/dev/null 2>&1 && break; sleep 0.1; done; kill -9 $$ ) &
            fi
            checkpoints=$1; shift
            exec "$@" --checkpoint "$checkpoints"
            """;

        ToolResult launched = Tool.Run(["launch", "--nproc-per-node", "2", "--max-restarts", "2", "--", "bash", "-c", Script, "rank", folder["checkpoints"],
            "dotnet", Tool.Program, .. Arguments("cpu"), "--gradient-compression", compression, "--checkpoint-every", "2", "--sample-log", folder["samples"], "--output", folder["run"]]);

        Assert.Equal(unbroken, Weights(launched, folder["run"]));
        Assert.Equal(SampleHistory.Of(folder["unbroken samples"]), SampleHistory.Of(folder["samples"], folder["samples.1"]));
        Assert.Contains("rank 1 failed (SIGKILL)", launched.Errors, StringComparison.Ordinal);
        Assert.Contains("going on from the checkpoint of step", launched.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Terminate)]
    [InlineData(User1)]
    public void Asked_to_stop_a_run_saves_itself_and_exits_with_75_and_goes_on_when_started_again(int signal)
    {
        using TemporaryFolder folder = new();
        byte[] unbroken = Weights(Tool.Run([.. Arguments("cpu"), "--output", folder["unbroken"]]), folder["unbroken"]);
        string[] arguments = [.. Arguments("cpu"), "--checkpoint", folder["checkpoints"], "--output", folder["run"]];

        (int exitCode, string errors) = RunAndSignal(arguments, signal, whenItSays: "going on|steps an epoch");

        Assert.Equal(75, exitCode);
        Assert.Matches("training stopped after (1 step|[0-9]+ steps) because it was asked to; a checkpoint of them is written", errors);
        ToolResult second = Tool.Run(arguments);
        Assert.Equal(unbroken, Weights(second, folder["run"]));
        Assert.Contains("going on from the checkpoint of step", second.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("opencl:pocl")]
    public void Drivers_of_devices_do_not_keep_the_announcement_of_the_end_from_a_run(string device)
    {
        using TemporaryFolder folder = new();
        Assert.SkipUnless(DeviceIsUsable(device), $"no {device} here");
        string[] arguments = ["train", "--data", "digits", "--model", "mlp", "--epochs", "300", "--device", device, "--checkpoint", folder["checkpoints"], "--output", folder["run"]];

        (int exitCode, string errors) = RunAndSignal(arguments, User1, whenItSays: "epoch 1:");

        Assert.Equal(75, exitCode);
        Assert.Contains("a checkpoint of them is written", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Resume_never_begins_anew()
    {
        using TemporaryFolder folder = new();
        string[] arguments = ["train", "--data", "digits", "--model", "mlp", "--steps", "5", "--checkpoint", folder["checkpoints"]];
        Assert.Equal(0, Tool.Run([.. arguments, "--output", folder["a"]]).ExitCode);
        ToolResult anew = Tool.Run([.. arguments, "--resume", "never", "--output", folder["b"]]);
        Assert.Equal(0, anew.ExitCode);
        Assert.DoesNotContain("going on", anew.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_size_limit_that_checkpoints_hit_is_told_of_and_the_last_good_one_is_gone_on_from_without_it()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "limits a process as Linux does");
        using TemporaryFolder folder = new();
        byte[] unbroken = Weights(Tool.Run([.. Arguments("cpu"), "--output", folder["unbroken"]]), folder["unbroken"]);
        string[] arguments = [.. Arguments("cpu"), "--checkpoint", folder["checkpoints"], "--output", folder["run"]];
        Assert.Equal(75, RunAndSignal(arguments, Terminate, whenItSays: "steps an epoch").ExitCode);
        string before = Assert.Single(Directory.GetDirectories(folder["checkpoints"]));

        // 64 KiB a file, refused with EFBIG; .NET's own memory must not be a file then.
        ToolResult limited = Tool.Start("bash", [("DOTNET_EnableWriteXorExecute", "0")], ["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "limited", "dotnet", Tool.Program, .. arguments, "--checkpoint-every", "20"]);

        Assert.Equal(1, limited.ExitCode);
        Assert.Matches("the checkpoint of step 100 could not be written to .*: Specified file length was too large", limited.Errors);
        Assert.Equal([before], Directory.GetDirectories(folder["checkpoints"]));
        Assert.Equal(unbroken, Weights(Tool.Run(arguments), folder["run"]));
    }

    private static string[] Arguments(string device) => ["train", "--data", "digits", "--model", "mlp", "--steps", "100", "--seed", "5", "--device", device];

    private static byte[] Weights(ToolResult result, string folder)
    {
        Assert.True(result.ExitCode == 0, result.Errors);
        return File.ReadAllBytes(Path.Combine(folder, "weights.safetensors"));
    }

    private static bool DeviceIsUsable(string name) => name == "auto" || Tool.Run("devices").Output.Split('\n').Any(line => line.StartsWith($"{name} ", StringComparison.Ordinal) && !line.Contains("not usable", StringComparison.Ordinal));

    private static (int ExitCode, string Errors) RunAndSignal(string[] arguments, int signal, TimeSpan delay = default, string? whenItSays = null)
    {
        using Process process = Tool.Begin(arguments);
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        List<string> errors = [];
        using ManualResetEventSlim said = new(whenItSays is null);
        Thread reader = new(() =>
        {
            while (process.StandardError.ReadLine() is { } line)
            {
                errors.Add(line);
                if (whenItSays?.Split('|').Any(part => line.Contains(part, StringComparison.Ordinal)) == true) said.Set();
            }
            said.Set();
        });
        reader.Start();
        Assert.True(said.Wait(TimeSpan.FromMinutes(1)), "it says nothing");
        if (!process.WaitForExit(delay)) _ = SendSignal(process.Id, signal);
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)), $"it goes on after signal {signal}");
        reader.Join();
        _ = output.Result;
        return (process.ExitCode, string.Join('\n', errors));
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
