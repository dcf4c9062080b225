using System.Text.Json;
using DistTrain.Kernels;

namespace DistTrain.Cli.Tests;

public sealed class TrainingTests
{
    [Fact]
    public void A_trained_model_is_evaluated_to_the_accuracy_that_training_reported()
    {
        using TemporaryFolder folder = new();

        ToolResult trained = Tool.Run("train", "--data", "digits", "--epochs", "12", "--batch-size", "32", "--seed", "3", "--output", folder["run"], "--json");

        Assert.True(trained.ExitCode == 0, trained.Errors);
        JsonElement report = JsonDocument.Parse(trained.LastLine).RootElement;
        double accuracy = report.GetProperty("testAccuracy").GetDouble();
        Assert.InRange(accuracy, 0.93, 1.0);
        Assert.Equal("cpu", report.GetProperty("device").GetString());
        Assert.Equal(3, report.GetProperty("seed").GetInt32());
        Assert.True(report.GetProperty("seconds").GetDouble() > 0 && report.GetProperty("samplesPerSecond").GetDouble() > 0);
        string weights = report.GetProperty("weights").GetString()!;
        foreach (string file in new[] { "config.json", "metrics.jsonl", "weights.safetensors" }) Assert.True(File.Exists(Path.Combine(folder["run"], file)), file);
        Assert.Single(Directory.GetFiles(folder["run"], "events.out.tfevents.*"));

        ToolResult evaluated = Tool.Run("evaluate", "--weights", weights, "--data", "digits", "--json");

        Assert.True(evaluated.ExitCode == 0, evaluated.Errors);
        Assert.Equal(accuracy, JsonDocument.Parse(evaluated.LastLine).RootElement.GetProperty("testAccuracy").GetDouble());

        ToolResult predicted = Tool.Run("predict", "--weights", weights, "--data", "digits", "--count", "20", "--json");

        Assert.True(predicted.ExitCode == 0, predicted.Errors);
        JsonElement[] rows = [.. predicted.Output.TrimEnd().Split('\n').Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(Enumerable.Range(0, 20), rows.Select(row => row.GetProperty("index").GetInt32()));
        Assert.All(rows, row => Assert.InRange(row.GetProperty("probability").GetSingle(), 0.1f, 1f));
        Assert.True(rows.Count(row => row.GetProperty("class").GetString() == row.GetProperty("label").GetString()) >= 16);
    }

    [Theory]
    [InlineData("convnet")]
    [InlineData("mlp")]
    public void The_same_seed_gives_the_same_weights_bit_for_bit_on_one_core_or_all(string model)
    {
        using TemporaryFolder folder = new();
        string[] common = ["train", "--model", model, "--data", "digits", "--steps", "6", "--seed", "5"];

        ToolResult first = Tool.Run([.. common, "--output", folder["a"]]);
        ToolResult second = Tool.Run([.. common, "--device", "cpu:0/2", "--output", folder["b"]]);

        Assert.True(first.ExitCode == 0, first.Errors);
        Assert.True(second.ExitCode == 0, second.Errors);
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder["a"], "weights.safetensors")), File.ReadAllBytes(Path.Combine(folder["b"], "weights.safetensors")));
    }

    [Theory]
    [InlineData("digits", 12, 32)]
    [InlineData("fashion-mnist-slice", 6, 64)]
    public void Sixteen_bits_reach_the_accuracy_of_f32(string data, int epochs, int batchSize)
    {
        Assert.SkipUnless(data == "digits" || Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1", "trains for a minute: ./test.sh --soak");
        using TemporaryFolder folder = new();
        Dictionary<string, double> accuracy = [];
        foreach (string precision in new[] { "f32", "bf16", "f16" })
        {
            ToolResult trained = Tool.Run("train", "--data", data, "--epochs", $"{epochs}", "--batch-size", $"{batchSize}", "--seed", "3", "--precision", precision, "--output", folder[precision], "--json");
            Assert.True(trained.ExitCode == 0, trained.Errors);
            accuracy[precision] = JsonDocument.Parse(trained.LastLine).RootElement.GetProperty("testAccuracy").GetDouble();
        }
        // One of the 300 test digits is 0.33 points.
        Assert.InRange(accuracy["bf16"], accuracy["f32"] - 0.006, 1);
        Assert.InRange(accuracy["f16"], accuracy["f32"] - 0.006, 1);
        JsonElement[] lines = [.. File.ReadLines(Path.Combine(folder["f16"], "metrics.jsonl")).Select(line => JsonDocument.Parse(line).RootElement).Where(line => line.TryGetProperty("lossScale", out _))];
        Assert.NotEmpty(lines);
        Assert.All(lines, line => Assert.Equal((65536, 0), (line.GetProperty("lossScale").GetSingle(), line.GetProperty("skippedSteps").GetInt64())));
        Assert.NotEqual(File.ReadAllBytes(Path.Combine(folder["f32"], "weights.safetensors")), File.ReadAllBytes(Path.Combine(folder["bf16"], "weights.safetensors")));
    }

    [Fact]
    public void Workers_of_a_parameter_server_without_staleness_give_the_one_device_weights_bit_for_bit()
    {
        using TemporaryFolder folder = new();
        string[] common = ["train", "--model", "convnet", "--data", "digits", "--steps", "12", "--seed", "5"];

        ToolResult one = Tool.Run([.. common, "--output", folder["a"]]);
        ToolResult served = Tool.Run([.. common, "--strategy", "parameter-server", "--device", "cpu:0/3,cpu:1/3,cpu:2/3", "--staleness-bound", "0", "--output", folder["b"]]);

        Assert.True(one.ExitCode == 0, one.Errors);
        Assert.True(served.ExitCode == 0, served.Errors);
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder["a"], "weights.safetensors")), File.ReadAllBytes(Path.Combine(folder["b"], "weights.safetensors")));
        Assert.Contains("parameter server: 12 updates of 12 steps, staleness 0.00 on average, at most 0; 0 gradients dropped", served.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Asynchronous_workers_learn_do_every_step_once_and_go_on_from_the_servers_snapshot()
    {
        using TemporaryFolder folder = new();
        string[] common = ["train", "--data", "digits", "--batch-size", "32", "--seed", "3", "--strategy", "parameter-server", "--device", "cpu:0/4,cpu:1/4,cpu:2/4,cpu:3/4", "--checkpoint", folder["saved"], "--json"];

        ToolResult half = Tool.Run([.. common, "--epochs", "6", "--schedule", "constant", "--output", folder["a"]]);
        ToolResult whole = Tool.Run([.. common, "--epochs", "12", "--schedule", "constant", "--output", folder["b"]]);

        Assert.True(half.ExitCode == 0, half.Errors);
        Assert.True(whole.ExitCode == 0, whole.Errors);
        Assert.Contains("the parameter server goes on from update", whole.Errors, StringComparison.Ordinal);
        JsonElement report = JsonDocument.Parse(whole.LastLine).RootElement;
        Assert.InRange(report.GetProperty("testAccuracy").GetDouble(), 0.9, 1.0);
        Assert.True(report.GetProperty("largestStaleness").GetInt64() >= 0);
        Assert.Contains($"parameter server: {report.GetProperty("steps").GetInt64():N0} updates of", whole.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_instruction_set_of_the_machine_trains_to_the_same_loss()
    {
        using TemporaryFolder folder = new();
        Dictionary<string, double> losses = [];
        foreach (InstructionSet set in InstructionSets.Supported)
        {
            ToolResult result = Tool.RunWith([("DISTTRAIN_ISA", set.Name())], "train", "--data", "digits", "--steps", "4", "--seed", "2", "--output", folder[set.Name()], "--json");
            Assert.True(result.ExitCode == 0, result.Errors);
            Assert.Contains(set == InstructionSet.Vector128 ? "threads" : set.Name(), result.Errors, StringComparison.Ordinal);
            losses[set.Name()] = JsonDocument.Parse(result.LastLine).RootElement.GetProperty("trainLoss").GetDouble();
        }

        Assert.All(losses.Values, loss => Assert.InRange(loss, losses["reference"] * (1 - 1e-4), losses["reference"] * (1 + 1e-4)));
    }

    [Fact]
    public void Log_every_1_records_the_loss_of_every_step_and_steps_ends_training()
    {
        using TemporaryFolder folder = new();

        ToolResult result = Tool.Run("train", "--model", "mlp", "--data", "digits", "--steps", "5", "--log-every", "1", "--no-shuffle", "--output", folder["run"]);

        Assert.True(result.ExitCode == 0, result.Errors);
        JsonElement[] steps = [.. File.ReadLines(Path.Combine(folder["run"], "metrics.jsonl")).Select(line => JsonDocument.Parse(line).RootElement).Where(row => row.TryGetProperty("step", out _))];
        Assert.Equal([0, 1, 2, 3, 4], steps.Select(row => row.GetProperty("step").GetInt32()));
        Assert.All(steps, row => Assert.InRange(row.GetProperty("loss").GetSingle(), 0.01f, 5f));
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_training_naming_step_rate_and_parameter()
    {
        using TemporaryFolder folder = new();

        ToolResult result = Tool.Run("train", "--model", "mlp", "--data", "digits", "--optimizer", "sgd", "--schedule", "constant", "--lr", "1e30", "--output", folder["run"]);

        Assert.Equal(1, result.ExitCode);
        Assert.Matches(@"the loss of step \d+ is .* \(learning rate 1E\+30\); the first parameter with a value or gradient that is not finite is 'fc\d\.(weight|bias)'", result.Errors);
    }

    [Fact]
    public void A_data_set_that_is_not_here_is_named_with_the_command_that_fetches_it()
    {
        if (Directory.Exists("/usr/share/datasets/fashion-mnist")) Assert.Skip("the full set is installed on this machine");
        using TemporaryFolder cache = new();

        ToolResult result = Tool.RunWith([("XDG_CACHE_HOME", cache.Path)], "train", "--data", "fashion-mnist");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("get it with: disttrain data fetch fashion-mnist", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_weights_file_is_named_and_nothing_crashes()
    {
        using TemporaryFolder folder = new();
        File.WriteAllBytes(folder["weights.safetensors"], [255, 255, 255, 255, 255, 255, 255, 127, 1, 2, 3]);

        ToolResult result = Tool.Run("evaluate", "--weights", folder["weights.safetensors"], "--data", "digits");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(folder["weights.safetensors"], result.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_image_file_is_named_with_the_offset()
    {
        using TemporaryFolder folder = new();
        foreach (string name in new[] { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" })
            File.WriteAllBytes(folder[name], [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3]);

        ToolResult result = Tool.Run("train", "--data", folder.Path);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("idx", result.Errors, StringComparison.Ordinal);
        Assert.Matches("(offset|byte) ", result.Errors);
    }

    [Fact]
    public void Weights_of_another_model_are_refused_naming_what_is_missing()
    {
        using TemporaryFolder folder = new();
        ToolResult mlp = Tool.Run("train", "--model", "mlp", "--data", "digits", "--steps", "1", "--output", folder["mlp"]);
        Assert.True(mlp.ExitCode == 0, mlp.Errors);

        ToolResult result = Tool.Run("train", "--model", "convnet", "--data", "digits", "--init", Path.Combine(folder["mlp"], "weights.safetensors"));

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("conv1.weight", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_holds_a_run_is_not_overwritten()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["config.json"], "{}");

        ToolResult result = Tool.Run("train", "--data", "digits", "--steps", "1", "--output", folder.Path);

        Assert.Equal(2, result.ExitCode);
        Assert.Contains("holds a run already", result.Errors, StringComparison.Ordinal);
        Assert.Equal("{}", File.ReadAllText(folder["config.json"]));
    }

    [Fact]
    public async Task Interrupting_training_ends_it_between_two_steps_with_exit_code_143()
    {
        using TemporaryFolder folder = new();
        Task<ToolResult> training = Task.Run(() => Tool.Run("train", "--data", "digits", "--epochs", "100000", "--output", folder["run"]));
        string marker = folder["run"];
        Assert.True(SpinWait.SpinUntil(() => File.Exists(Path.Combine(marker, "metrics.jsonl")) && new FileInfo(Path.Combine(marker, "metrics.jsonl")).Length > 0, TimeSpan.FromMinutes(1)));

        foreach (System.Diagnostics.Process process in System.Diagnostics.Process.GetProcessesByName("dotnet"))
            if (File.ReadAllText($"/proc/{process.Id}/cmdline").Contains(marker, StringComparison.Ordinal)) System.Diagnostics.Process.Start("kill", ["-TERM", process.Id.ToString()]).WaitForExit();

        ToolResult result = await training;
        Assert.Equal(143, result.ExitCode);
        Assert.Contains("interrupted", result.Errors, StringComparison.Ordinal);
    }
}
