namespace DistTrain.Cli.Tests;

/// <summary>Measuring and predicting on several devices and in several processes says what one device says.</summary>
public sealed class DistributedPredictionTests
{
    [Fact]
    public void Predictions_and_accuracy_of_two_devices_or_two_processes_are_those_of_one()
    {
        using TemporaryFolder folder = new();
        ToolResult trained = Tool.Run("train", "--data", "digits", "--model", "mlp", "--steps", "30", "--seed", "5", "--output", folder["run"]);
        Assert.True(trained.ExitCode == 0, trained.Errors);
        foreach (string command in new[] { "predict", "evaluate" })
        {
            string[] arguments = [command, "--weights", Path.Combine(folder["run"], "weights.safetensors"), "--data", "digits"];
            // Not an even number: the last batch is uneven.
            if (command == "predict") arguments = [.. arguments, "--count", "251"];
            string one = Lines(Tool.Run(arguments)), two = Lines(Tool.Run([.. arguments, "--device", "cpu:0/2,cpu:1/2"]));
            Assert.Equal(command == "predict" ? 251 : one.Split('\n').Length, one.Split('\n').Length);
            Assert.Equal(one, two);
            ToolResult launched = Tool.Run(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. arguments]);
            // Launch names the rank before each line; only the first speaks.
            Assert.Equal(one, Lines(launched with { Output = launched.Output.Replace("[0] ", "", StringComparison.Ordinal) }));
        }
    }

    // Without the time that it took.
    private static string Lines(ToolResult result)
    {
        Assert.True(result.ExitCode == 0, result.Errors);
        return string.Join('\n', result.Output.TrimEnd().Split('\n').Select(line => line.StartsWith("accuracy ", StringComparison.Ordinal) ? line[..line.IndexOf(" in ", StringComparison.Ordinal)] : line));
    }
}
