using DistTrain.Runtime;

namespace DistTrain.Cli.Tests;

/// <summary><c>--strategy sharded</c> in one process and in two over shared memory.</summary>
public sealed class ShardedTests
{
    private static readonly string[] s_training = ["train", "--data", "digits", "--model", "mlp", "--seed", "5", "--schedule", "constant"];

    [Fact]
    public void Every_stage_gives_mirroreds_weights_in_one_process_and_in_two()
    {
        using TemporaryFolder folder = new();
        string[] training = [.. s_training, "--steps", "12", "--check-replicas"];
        float[] expected = Weights(Tool.Run([.. training, "--device", "cpu:0/2,cpu:1/2", "--output", folder["mirrored"]]), folder["mirrored"]);

        foreach (string stage in new[] { "1", "2", "3" })
            Assert.Equal(expected, Weights(Tool.Run(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. training, "--strategy", "sharded", "--sharding-stage", stage, "--output", folder[stage]]), folder[stage]));
        Assert.Equal(expected, Weights(Tool.Run([.. training, "--device", "cpu:0/2,cpu:1/2", "--strategy", "sharded", "--sharding-stage", "3", "--output", folder["one process"]]), folder["one process"]));
    }

    [Fact]
    public void One_process_goes_on_from_the_shares_that_two_have_written()
    {
        using TemporaryFolder folder = new();
        float[] expected = Weights(Tool.Run([.. s_training, "--steps", "12", "--device", "cpu:0/2,cpu:1/2", "--output", folder["unbroken"]]), folder["unbroken"]);

        string[] saved = ["--checkpoint", folder["checkpoints"], "--checkpoint-every", "3"];
        Weights(Tool.Run(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. s_training, "--steps", "7", .. saved, "--strategy", "sharded", "--sharding-stage", "3", "--output", folder["two"]]), folder["two"]);
        Assert.Equal(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            Directory.GetFiles(Path.Combine(folder["checkpoints"], "step-000000000007"), "model*").Select(Path.GetFileName).Order(StringComparer.Ordinal));
        ToolResult resumed = Tool.Run([.. s_training, "--steps", "12", .. saved, "--device", "cpu:0/2,cpu:1/2", "--output", folder["one"]]);

        Assert.Contains("going on from the checkpoint of step 7", resumed.Errors, StringComparison.Ordinal);
        Assert.Equal(expected, Weights(resumed, folder["one"]));
    }

    [Theory]
    [InlineData("2")]
    [InlineData("3")]
    public void A_group_whose_rank_was_killed_while_shares_are_written_ends_with_the_unbroken_runs_bits(string stage)
    {
        using TemporaryFolder folder = new();
        float[] expected = Weights(Tool.Run([.. s_training, "--steps", "60", "--device", "cpu:0/2,cpu:1/2", "--output", folder["unbroken"]]), folder["unbroken"]);
        // The first time, rank 1 is killed as soon as there is a checkpoint; there is one for every step that finds the writers idle.
        const string Script = """
            if [ "$RANK" = 1 ] && [ "$TORCHELASTIC_RESTART_COUNT" = 0 ]; then
                ( for i in $(seq 600); do ls "$1"/step-*/manifest.json >/dev/null 2>&1 && break; sleep 0.02; done; kill -9 $$ ) &
            fi
            checkpoints=$1; shift
            exec "$@" --checkpoint "$checkpoints"
            """;

        ToolResult launched = Tool.Run(["launch", "--nproc-per-node", "2", "--max-restarts", "2", "--", "bash", "-c", Script, "rank", folder["checkpoints"],
            "dotnet", Tool.Program, .. s_training, "--steps", "60", "--strategy", "sharded", "--sharding-stage", stage, "--checkpoint-every", "1", "--output", folder["run"]]);

        Assert.Equal(expected, Weights(launched, folder["run"]));
        Assert.Contains("rank 1 failed (SIGKILL)", launched.Errors, StringComparison.Ordinal);
        Assert.Contains("going on from the checkpoint of step", launched.Errors, StringComparison.Ordinal);
    }

    private static float[] Weights(ToolResult result, string folder)
    {
        Assert.True(result.ExitCode == 0, result.Errors);
        using SafetensorsReader reader = SafetensorsReader.Open(Path.Combine(folder, "weights.safetensors"));
        return [.. reader.Entries.OrderBy(entry => entry.Name, StringComparer.Ordinal).SelectMany(entry =>
        {
            float[] values = new float[entry.ByteCount / sizeof(float)];
            reader.Read<float>(entry.Name, values);
            return values;
        })];
    }
}
