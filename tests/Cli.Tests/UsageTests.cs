using System.Text.Json;

namespace DistTrain.Cli.Tests;

public sealed class UsageTests
{
    [Theory]
    [InlineData("unknown option '--modle'. Did you mean '--model'?", "train", "--modle", "mlp")]
    [InlineData("unknown command or argument 'trian'. Did you mean 'train'?", "trian")]
    [InlineData("unknown model 'convent'; models are", "train", "--model", "convent", "--data", "digits")]
    [InlineData("Did you mean 'convnet'?", "train", "--model", "convent", "--data", "digits")]
    [InlineData("--optimizer adamv: expected sgd, adam, adamw. Did you mean 'adam'?", "train", "--optimizer", "adamv")]
    [InlineData("Did you mean 'digits'?", "train", "--data", "digit")]
    [InlineData("Did you mean 'cuda:0'?", "train", "--device", "cude:0")]
    [InlineData("--device cpu:0/2, cpu:0/2: cpu:0/2 is named twice; each replica needs its own (slices of the CPU are cpu:0/2, cpu:1/2)", "train", "--device", "cpu:0/2, cpu:0/2")]
    [InlineData("--epochs 0: expected 1 or more", "train", "--epochs", "0")]
    [InlineData("--sync-batch-norm and --virtual-shards exclude each other", "train", "--sync-batch-norm", "--virtual-shards", "4")]
    [InlineData("--gradient-compression: 'topk:2' is no gradient compression: expected none, bf16, or topk:RATIO", "train", "--gradient-compression", "topk:2")]
    [InlineData("--lr -1: expected a positive number", "train", "--lr", "-1")]
    [InlineData("--servers, --staleness-bound and --gradients-per-update belong to --strategy parameter-server", "train", "--servers", "2")]
    [InlineData("--servers 2 with --staleness-bound or --gradients-per-update", "train", "--strategy", "parameter-server", "--servers", "2", "--staleness-bound", "1")]
    [InlineData("--staleness-bound -1: expected 0 or more", "train", "--strategy", "parameter-server", "--staleness-bound", "-1")]
    [InlineData("--strategy parameter-server has no virtual shards", "train", "--strategy", "parameter-server", "--virtual-shards", "2")]
    [InlineData("--sharding-stage belongs to --strategy sharded", "train", "--sharding-stage", "3")]
    [InlineData("--sharding-stage 4: expected 1 (optimizer state), 2 (gradients too) or 3 (parameters too)", "train", "--strategy", "sharded", "--sharding-stage", "4")]
    [InlineData("--strategy sharded has no virtual shards", "train", "--strategy", "sharded", "--virtual-shards", "4")]
    [InlineData("--precision bf61: expected f32, bf16, f16. Did you mean 'bf16'?", "train", "--precision", "bf61")]
    [InlineData("--strategy parameter-server has no loss scale that all workers share", "train", "--strategy", "parameter-server", "--precision", "f16")]
    [InlineData("--gradient-compression topk:0.1 keeps gradients from step to step", "train", "--gradient-compression", "topk:0.1", "--precision", "f16")]
    [InlineData("Did you mean 'parameter-server'?", "train", "--strategy", "parameter-servers")]
    [InlineData("--strategy tpu: TPUs are programmed through XLA and its PJRT plug-ins, which have no kernels of ours to run; use --strategy mirrored", "train", "--strategy", "tpu")]
    [InlineData("--check-replicas compares replicas that are equal after every step, which those of --strategy parameter-server are not", "train", "--strategy", "parameter-server", "--check-replicas")]
    [InlineData("cpu:0/2 is Cpu, ilgpu-cpu is Emulator; replicas would wait for the slowest", "train", "--device", "cpu:0/2,ilgpu-cpu")]
    [InlineData("--batch-size 1 is smaller than the 2 replicas of --strategy mirrored", "train", "--data", "digits", "--device", "cpu:0/2,cpu:1/2", "--batch-size", "1")]
    [InlineData("--epochs many: expected a whole number", "train", "--epochs", "many")]
    [InlineData("--seed -1: expected a whole number from 0", "train", "--seed", "-1")]
    [InlineData("--lr fast: expected a number", "train", "--lr", "fast")]
    [InlineData("--momentum 1: expected a number from 0, below 1", "train", "--momentum", "1")]
    [InlineData("--weight-decay -1: expected 0 or a positive number", "train", "--weight-decay", "-1")]
    [InlineData("--warmup-steps -1: expected 0 or more", "train", "--warmup-steps", "-1")]
    [InlineData("--init /nowhere/a.safetensors: no such file", "train", "--init", "/nowhere/a.safetensors")]
    [InlineData("--checkpoint '/etc/passwd': expected a folder", "train", "--checkpoint", "/etc/passwd")]
    [InlineData("--output '/etc/passwd': expected a folder", "train", "--data", "digits", "--output", "/etc/passwd")]
    [InlineData("--trace t.txt: expected a name that ends in .json or .json.gz", "train", "--trace", "t.txt")]
    [InlineData("model 'resnet21' on 1x8x8 images: a ResNet for small images has 6n + 2 layers (8, 14, 20, 32, 44, 56, 110, ...), found 21\n", "train", "--data", "digits", "--model", "resnet21")]
    [InlineData("--virtual-shards 1 on 2 replicas: expected a power of two of replicas, and at least as many shards", "train", "--data", "digits", "--device", "cpu:0/2,cpu:1/2", "--virtual-shards", "1")]
    [InlineData("--sync-batch-norm normalises by the batch of all devices", "train", "--strategy", "parameter-server", "--sync-batch-norm")]
    [InlineData("--strategy parameter-server sends gradients as they are", "train", "--strategy", "parameter-server", "--gradient-compression", "bf16")]
    [InlineData("--algorithm ring sums gradients among devices", "train", "--strategy", "parameter-server", "--algorithm", "ring")]
    [InlineData("See: disttrain data fetch --help", "data", "fetch")]
    [InlineData("data fetch mnist: expected fashion-mnist. Did you mean 'fashion-mnist'?", "data", "fetch", "mnist")]
    public void A_word_that_is_not_understood_ends_with_exit_code_2_and_the_nearest_that_is(string message, params string[] arguments)
    {
        ToolResult result = Tool.Run(arguments);

        Assert.Contains(message, result.Errors, StringComparison.Ordinal);
        Assert.Equal(2, result.ExitCode);
        Assert.Empty(result.Output);
    }

    [Theory]
    [InlineData(2, "--model", "resnet21")]
    [InlineData(1, "--init", "README.md")]
    [InlineData(2, "--checkpoint", "README.md")]
    public void A_run_that_can_not_begin_leaves_no_folder(int exitCode, string option, string value)
    {
        using TemporaryFolder folder = new();
        if (value == "README.md") File.WriteAllText(value = folder[value], "nothing that anybody could begin with");

        ToolResult result = Tool.Run("train", "--data", "digits", "--steps", "1", option, value, "--output", folder["run"]);

        Assert.Equal(exitCode, result.ExitCode);
        Assert.DoesNotContain("(Parameter", result.Errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["run"]));
    }

    [Fact]
    public void A_folder_of_checkpoints_that_can_not_be_made_is_found_before_training()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "");

        ToolResult result = Tool.Run("train", "--data", "digits", "--steps", "1", "--output", folder["run"], "--checkpoint", folder["file/checkpoints"]);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"--checkpoint {folder["file/checkpoints"]}: the folder can't be made", result.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("epoch 1", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Weights_of_another_model_are_named_by_their_file()
    {
        using TemporaryFolder folder = new();
        Assert.Equal(0, Tool.Run("train", "--data", "digits", "--steps", "1", "--output", folder["convnet"]).ExitCode);

        ToolResult result = Tool.Run("train", "--data", "digits", "--steps", "1", "--model", "mlp", "--init", folder["convnet/weights.safetensors"], "--output", folder["mlp"]);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"{folder["convnet/weights.safetensors"]} holds another model's weights: ", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_without_images_are_said_to_have_none()
    {
        using TemporaryFolder folder = new();
        foreach (string part in (string[])["train", "t10k"])
        {
            File.WriteAllBytes(folder[$"{part}-images-idx3-ubyte"], [0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8]);
            File.WriteAllBytes(folder[$"{part}-labels-idx1-ubyte"], [0, 0, 8, 1, 0, 0, 0, 0]);
        }

        ToolResult result = Tool.Run("train", "--data", folder.Path);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"--data {folder.Path}: there are 0 images to train and 0 to test on", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_for_logs_that_can_not_be_made_is_named_with_its_option()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "");

        ToolResult result = Tool.Run("launch", "--log-dir", folder["file"], "--", "true");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"--log-dir {folder["file"]}: ", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Devices_lists_every_kind_as_JSON_and_says_why_one_is_unusable()
    {
        ToolResult result = Tool.Run("devices", "--json");

        Assert.Equal(0, result.ExitCode);
        JsonElement[] devices = [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];
        Assert.Superset(new HashSet<string> { "cpu", "cuda:0", "opencl:pocl", "ilgpu-cpu" }, devices.Select(device => device.GetProperty("name").GetString()!).ToHashSet());
        Assert.All(devices, device => Assert.NotEqual(device.GetProperty("usable").GetBoolean(), device.GetProperty("reason").ValueKind == JsonValueKind.String));
        JsonElement cpu = devices.Single(device => device.GetProperty("name").GetString() == "cpu");
        Assert.Equal(Environment.ProcessorCount, cpu.GetProperty("cores").GetInt32());
        Assert.True(cpu.GetProperty("memoryBytes").GetInt64() > 0);
    }

    [Fact]
    public void Doctor_names_each_native_library_file_that_it_tried()
    {
        ToolResult result = Tool.Run("doctor");

        Assert.Equal(0, result.ExitCode);
        Assert.Matches(@"SDK +10\.", result.Output);
        Assert.Contains("libcuda.so.1", result.Output, StringComparison.Ordinal);
        Assert.Contains("libOpenCL.so.1", result.Output, StringComparison.Ordinal);
        Assert.Contains("fashion-mnist-slice", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_the_native_library_devices_of_one_process_train_and_several_processes_learn_where_it_was_looked_for()
    {
        using TemporaryFolder folder = new();
        (string, string?)[] without = [("DISTTRAIN_NATIVE", folder["nothing"])];
        string[] training = ["train", "--data", "digits", "--model", "mlp", "--steps", "2", "--output", folder["run"]];

        Assert.Equal(0, Tool.RunWith(without, [.. training, "--device", "cpu:0/2,cpu:1/2"]).ExitCode);
        ToolResult workers = Tool.RunWith(without, ["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. training]);

        Assert.Equal(1, workers.ExitCode);
        Assert.Contains($"{folder["nothing"]}/libdisttrain_shim.so: no such file", workers.Errors, StringComparison.Ordinal);
        Assert.Contains($"{folder["nothing"]}/libdisttrain_shim.so: no such file", Tool.RunWith(without, "doctor").Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("avx1024", "DISTTRAIN_ISA=avx1024 is unknown; use avx512, avx2, vector128 or reference")]
    public void A_bad_instruction_set_in_the_environment_is_named(string value, string message)
    {
        ToolResult result = Tool.RunWith([("DISTTRAIN_ISA", value)], "train", "--data", "digits");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(message, result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_the_SDK_the_script_says_in_one_line_how_to_get_it()
    {
        // A PATH with the few programs that the script needs, and no dotnet.
        using TemporaryFolder folder = new();
        foreach (string program in new[] { "bash", "dirname", "readlink", "grep", "env" })
            File.CreateSymbolicLink(folder[program], new[] { "/usr/bin", "/bin" }.Select(place => Path.Combine(place, program)).First(File.Exists));

        ToolResult result = Tool.Start(Path.Combine(Tool.Root, "disttrain"), [("PATH", folder.Path)]);

        Assert.Equal(1, result.ExitCode);
        Assert.Equal("disttrain needs the .NET 10 SDK: install dotnet-sdk-10.0 with your package manager, or see https://dot.net/download\n", result.Errors);
    }

    [Fact]
    public void Without_a_C_compiler_the_script_says_what_is_missing_and_goes_on()
    {
        // The script alone, in a folder of its own, with a PATH of the few programs that it needs and an SDK that does nothing but say what it is asked for.
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["bin"]);
        foreach (string place in (string[])["src", "data", "native/nccl-shim"]) Directory.CreateDirectory(folder[place]);
        foreach (string file in (string[])["Directory.Build.props", "Directory.Packages.props", "global.json", "nuget.config"]) File.WriteAllText(folder[file], "");
        foreach (string program in (string[])["bash", "dirname", "readlink", "grep", "env", "find", "sort", "sha256sum", "mkdir", "flock"])
            File.CreateSymbolicLink(folder[$"bin/{program}"], new[] { "/usr/bin", "/bin" }.Select(place => Path.Combine(place, program)).First(File.Exists));
        // Written by another process: a file that this one has had open for writing may still be so in a child that another test starts, and can't be executed then.
        const string Sdk = "#!/usr/bin/env bash\n[ \"$1\" = --list-sdks ] && echo '10.0.100 [here]' || echo \"$@\"\n";
        Assert.Equal(0, Tool.Start("bash", [], "-c", "cd \"$0\" && cp \"$1\" disttrain && printf %s \"$2\" >bin/dotnet && chmod +x disttrain bin/dotnet", folder.Path, Path.Combine(Tool.Root, "disttrain"), Sdk).ExitCode);

        ToolResult result = Tool.Start(folder["disttrain"], [("PATH", folder["bin"])], "devices");

        Assert.Equal((0, $"{folder["artifacts/bin/DistTrain.Cli/release/disttrain.dll"]} devices\n"), (result.ExitCode, result.Output));
        Assert.StartsWith("without cmake and a C compiler several devices are trained in one process only (Debian: apt-get install cmake gcc make)\n", result.Errors, StringComparison.Ordinal);
    }
}
