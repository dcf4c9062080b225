namespace DistTrain.Cli.Tests;

public sealed class ParityTests
{
    [Theory]
    [InlineData("convnet,mlp", "sgd", "0.05")]
    [InlineData("convnet,mlp", "adamw", "0.001")]
    public void Twenty_steps_give_the_losses_of_PyTorch(string models, string optimizer, string rate)
    {
        if (!File.Exists("/usr/bin/python3") || Tool.Start("/usr/bin/python3", [], "-c", "import torch, numpy").ExitCode != 0)
            Assert.Skip("needs Debian's python3-torch and python3-numpy");

        ToolResult result = Tool.Start("/usr/bin/python3", [], Path.Combine(Tool.Root, "bench", "parity", "torch_parity.py"),
            "--models", models, "--optimizer", optimizer, "--lr", rate, "--steps", "20", "--tolerance", "1e-4");

        Assert.True(result.ExitCode == 0, result.Output + result.Errors);
        Assert.Equal(2, result.Output.Split('\n').Count(line => line.Contains("largest relative difference", StringComparison.Ordinal)));
    }
}
