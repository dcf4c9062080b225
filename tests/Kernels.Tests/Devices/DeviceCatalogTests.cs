namespace DistTrain.Kernels.Tests;

public sealed class DeviceCatalogTests
{
    private const string Forms = "devices are cpu, cpu:i/n, cuda:i, opencl:i, opencl:pocl and ilgpu-cpu.";

    [Theory]
    [InlineData("cpuu", " Did you mean 'cpu'?")]
    [InlineData("cuda0", " Did you mean 'cuda:0'?")]
    [InlineData("opencl:pcol", " Did you mean 'opencl:pocl'?")]
    [InlineData("ilgpu", " Did you mean 'ilgpu-cpu'?")]
    [InlineData("quantum-annealer", "")]
    [InlineData("cpu:2/2", " Did you mean 'cpu:0/2'?")]
    [InlineData("cpu:1/0", " Did you mean 'cpu:0/2'?")]
    [InlineData("cpu:-1/2", " Did you mean 'cpu:0/2'?")]
    [InlineData("ilgpu-cpu:1", " Did you mean 'ilgpu-cpu'?")]
    public void An_unknown_name_is_refused_with_the_nearest_one(string name, string hint)
    {
        DeviceException failure = Assert.Throws<DeviceException>(() => DeviceCatalog.Open(name));

        Assert.Equal($"unknown device '{name}'; {Forms}{hint}", failure.Message);
        Assert.True(failure.IsUnknownName);
    }

    [Fact]
    public void An_absent_device_says_why()
    {
        DeviceException failure = Assert.Throws<DeviceException>(() => DeviceCatalog.Open("cuda:97"));

        Assert.False(failure.IsUnknownName);
        Assert.StartsWith("cuda:97", failure.Message, StringComparison.Ordinal);
        Assert.True(failure.Message.Contains("no CUDA device (tried libcuda.so.1", StringComparison.Ordinal) || failure.Message.Contains("numbered from 0", StringComparison.Ordinal), failure.Message);
    }

    [Fact]
    public void The_list_has_every_kind_usable_or_with_a_reason()
    {
        IReadOnlyList<DeviceInfo> devices = DeviceCatalog.List();

        Assert.Equal("cpu", devices[0].Name);
        Assert.Equal(["Cpu", "Cuda", "Emulator", "OpenCl"], devices.Select(device => device.Kind.ToString()).Distinct().Order());
        foreach (DeviceInfo device in devices)
        {
            Assert.Equal(device.Unusable is null, device.Description.Length > 0);
            Assert.Equal(device.Unusable is null, device.MemoryByteCount > 0);
            if (device.Unusable is null) DeviceCatalog.Open(device.Name).Dispose();
        }
    }

    [Theory]
    [InlineData("cpu", "cpu")]
    [InlineData(" CPU ", "cpu")]
    [InlineData("cpu:0/1", "cpu:0/1")]
    public void The_whole_processor_has_all_cores(string name, string known)
    {
        using ComputeDevice device = DeviceCatalog.Open(name);

        Assert.Equal((known, CpuTopology.AvailableCpus().Length), (device.Name, device.CoreCount));
        Assert.Equal(DeviceKind.Cpu, device.Kind);
    }

    [Fact]
    public void Slices_share_out_all_cores_and_each_has_one_at_least()
    {
        int cores = CpuTopology.AvailableCpus().Length;
        foreach (int count in new[] { 2, 3, cores, cores + 3 })
        {
            int sum = 0;
            for (int index = 0; index < count; index++)
            {
                using ComputeDevice slice = DeviceCatalog.Open($"cpu:{index}/{count}");
                Assert.Equal($"cpu:{index}/{count}", slice.Name);
                Assert.True(slice.CoreCount >= 1);
                sum += slice.CoreCount;
                using Tensor one = Tensor.From(slice.DefaultStream, new[] { 1f, 2f }, new Shape(2));
                Elementwise.Add(slice.DefaultStream, one, one, one);
                Assert.Equal([2f, 4f], one.ToArray<float>(slice.DefaultStream));
            }
            Assert.Equal(Math.Max(cores, count), sum);
        }
    }
}

public sealed class InstructionSetTests
{
    [Fact]
    public void A_value_names_its_set_whatever_its_case()
    {
        foreach (InstructionSet set in InstructionSets.Supported)
        {
            Assert.Equal(set, InstructionSets.Parse(set.Name()));
            Assert.Equal(set, InstructionSets.Parse($" {set.Name().ToUpperInvariant()} "));
        }
        Assert.Equal(InstructionSets.Best, InstructionSets.Supported.First());
        Assert.Equal(InstructionSet.Reference, InstructionSets.Supported.Last());
    }

    [Fact]
    public void A_bad_value_is_refused_with_the_good_ones() =>
        Assert.Equal("DISTTRAIN_ISA=mmx is unknown; use avx512, avx2, vector128 or reference",
            Assert.Throws<DeviceException>(() => InstructionSets.Parse("mmx")).Message);

    [Fact]
    public void The_variable_chooses_and_nothing_means_the_best()
    {
        string? before = Environment.GetEnvironmentVariable(InstructionSets.EnvironmentVariable);
        try
        {
            Environment.SetEnvironmentVariable(InstructionSets.EnvironmentVariable, "reference");
            Assert.Equal(InstructionSet.Reference, InstructionSets.Chosen());
            using (ComputeDevice cpu = DeviceCatalog.Open("cpu")) Assert.Equal(InstructionSet.Reference, ((CpuDevice)cpu).InstructionSet);
            Environment.SetEnvironmentVariable(InstructionSets.EnvironmentVariable, " ");
            Assert.Equal(InstructionSets.Best, InstructionSets.Chosen());
            Environment.SetEnvironmentVariable(InstructionSets.EnvironmentVariable, "sse9");
            Assert.Throws<DeviceException>(() => DeviceCatalog.Open("cpu"));
        }
        finally
        {
            Environment.SetEnvironmentVariable(InstructionSets.EnvironmentVariable, before);
        }
    }

    [Fact]
    public void A_set_that_the_machine_lacks_is_refused()
    {
        if (InstructionSets.Best == InstructionSet.Avx512) Assert.Skip("this machine has every instruction set");
        Assert.EndsWith($"this machine has no avx512, its best is {InstructionSets.Best.Name()}",
            Assert.Throws<DeviceException>(() => InstructionSets.Parse("avx512")).Message, StringComparison.Ordinal);
        Assert.Throws<DeviceException>(() => new CpuDevice("cpu", InstructionSet.Avx512, 1));
    }
}

public sealed class NearestNameTests
{
    [Theory]
    [InlineData("trian", "train")]
    [InlineData("TRAIN", "train")]
    [InlineData("evaluat", "evaluate")]
    [InlineData("pre", "predict")]
    [InlineData("e", null)]
    [InlineData("xyzzy", null)]
    [InlineData("", null)]
    public void The_nearest_name_is_found_if_it_is_near(string name, string? nearest)
    {
        string[] candidates = ["train", "evaluate", "predict"];
        Assert.Equal(nearest, NearestName.Of(name, candidates));
        Assert.Equal(nearest is null ? "" : $" Did you mean '{nearest}'?", NearestName.Hint(name, candidates));
    }

    [Fact]
    public void Among_equally_near_names_the_first_wins_and_none_of_none_is_none()
    {
        Assert.Equal("bat", NearestName.Of("cat", ["bat", "hat"]));
        Assert.Null(NearestName.Of("cat", []));
    }
}
