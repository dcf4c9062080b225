using System.Globalization;
using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace DistTrain.Kernels;

/// <summary>What <see cref="DeviceCatalog.List()"/> says of one device.</summary>
/// <param name="Name">The name to open it by.</param>
/// <param name="Kind">What executes its kernels.</param>
/// <param name="Description">Hardware name and instruction set, or empty where it can't be used.</param>
/// <param name="MemoryByteCount">Memory in bytes, 0 where unknown.</param>
/// <param name="CoreCount">Cores or multiprocessors, 0 where unknown.</param>
/// <param name="Unusable">Why it can't be used and what to do; null if it can.</param>
public sealed record DeviceInfo(string Name, DeviceKind Kind, string Description, long MemoryByteCount, int CoreCount, string? Unusable);

/// <summary>Finds and opens devices by name.</summary>
public static class DeviceCatalog
{
    private static readonly string[] s_nameForms = ["cpu", "cpu:0/2", "cuda:0", "opencl:0", "opencl:pocl", "ilgpu-cpu"];

    /// <summary>
    /// Opens a device: <c>cpu</c> (all cores), <c>cpu:i/n</c> (slice i of n of the cores, its own threads), <c>cuda:i</c>, <c>opencl:i</c>,
    /// <c>opencl:pocl</c>, <c>ilgpu-cpu</c>. The caller owns it and disposes it.
    /// </summary>
    /// <exception cref="DeviceException">Unknown name (with the nearest known form) or a device that can't be used (with the reason).</exception>
    public static ComputeDevice Open(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        (string family, string place) = Split(name.Trim().ToLowerInvariant());
        return (family, place) switch
        {
            ("cpu", "") => OpenCpu("cpu", 0, 1),
            ("cpu", _) when TryParseSlice(place, out int index, out int count) => OpenCpu(name, index, count),
            ("cuda", _) when TryParseIndex(place, out int index) => OpenIlgpu(name, DeviceKind.Cuda, index),
            ("opencl", "pocl") => OpenPocl(name),
            ("opencl", _) when TryParseIndex(place, out int index) => OpenIlgpu(name, DeviceKind.OpenCl, index),
            ("ilgpu-cpu", "") => OpenEmulator(name),
            _ => throw new DeviceException($"unknown device '{name}'; devices are cpu, cpu:i/n, cuda:i, opencl:i, opencl:pocl and ilgpu-cpu.{NearestName.Hint(name, s_nameForms)}") { IsUnknownName = true },
        };
    }

    /// <summary>All kinds of device with what this machine has of each; an absent or unusable one is listed with the reason.</summary>
    public static IReadOnlyList<DeviceInfo> List() => [.. List(DeviceKind.Cpu), .. List(DeviceKind.Cuda), .. List(DeviceKind.OpenCl), .. List(DeviceKind.Emulator)];

    /// <summary>The devices of one kind; no other kind's drivers are loaded.</summary>
    public static IReadOnlyList<DeviceInfo> List(DeviceKind kind) => kind switch
    {
        DeviceKind.Cpu => [ListOne("cpu", kind)],
        DeviceKind.Cuda => [.. ListIlgpu(kind)],
        DeviceKind.OpenCl => [.. ListIlgpu(kind), ListOne("opencl:pocl", kind)],
        DeviceKind.Emulator => [ListOne("ilgpu-cpu", kind)],
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no kind of device"),
    };

    private static DeviceInfo Describe(ComputeDevice device) =>
        new(device.Name, device.Kind, device.Description, device.MemoryByteCount, device.CoreCount, null);

    private static DeviceInfo ListOne(string name, DeviceKind kind)
    {
        try
        {
            using ComputeDevice device = Open(name);
            return Describe(device);
        }
        catch (DeviceException failure)
        {
            return new DeviceInfo(name, kind, "", 0, 0, failure.Message);
        }
    }

    private static IEnumerable<DeviceInfo> ListIlgpu(DeviceKind kind)
    {
        string family = kind == DeviceKind.Cuda ? "cuda" : "opencl";
        int count = 0;
        string? reason = null;
        try
        {
            using Context context = CreateContext(kind);
            count = Candidates(context, kind).Length;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            reason = failure.Message;
        }
        if (count == 0) return [new DeviceInfo($"{family}:0", kind, "", 0, 0, reason ?? Missing(kind))];
        return Enumerable.Range(0, count).Select(index => ListOne($"{family}:{index}", kind));
    }

    private static CpuDevice OpenCpu(string name, int index, int count)
    {
        int[] cpus = CpuTopology.AvailableCpus();
        if (count == 1) return new CpuDevice(name, InstructionSets.Chosen(), cpus.Length);
        // More slices than cores share cores: each still has its own thread.
        int start = index * cpus.Length / count, end = Math.Max(start + 1, (index + 1) * cpus.Length / count);
        return new CpuDevice(name, InstructionSets.Chosen(), end - start, cpus[start..end]);
    }

    private static GpuDevice OpenIlgpu(string name, DeviceKind kind, int index)
    {
        Context context = CreateContext(kind);
        try
        {
            Device[] devices = Candidates(context, kind);
            if (devices.Length == 0) throw new DeviceException($"{name}: {Missing(kind)}");
            if (index >= devices.Length)
                throw new DeviceException($"{name}: this machine has {devices.Length} such device{(devices.Length == 1 ? "" : "s")}, numbered from 0");
            return new GpuDevice(name, kind, context, devices[index].CreateAccelerator(context));
        }
        catch (Exception failure)
        {
            context.Dispose();
            if (failure is DeviceException) throw;
            throw new DeviceException($"{name} can't be opened: {failure.Message}", failure);
        }
    }

    private static GpuDevice OpenPocl(string name)
    {
        NativeLibraries.Register();
        return PoclDevice.Open(name);
    }

    private static GpuDevice OpenEmulator(string name)
    {
        // 16 warps of 16 threads: a group can have the 256 threads that tiled kernels need.
        Context context = Context.Create(static builder => builder.CPU(new CPUDevice(16, 16, 1)).Optimize(OptimizationLevel.O2).EnableAlgorithms());
        return new GpuDevice(name, DeviceKind.Emulator, context, context.GetCPUDevice(0).CreateAccelerator(context));
    }

    private static Context CreateContext(DeviceKind kind)
    {
        NativeLibraries.Register();
        return kind == DeviceKind.Cuda
            ? Context.Create(static builder => builder.Cuda().Optimize(OptimizationLevel.O2).EnableAlgorithms())
            : Context.Create(static builder => builder.OpenCL().Optimize(OptimizationLevel.O2).EnableAlgorithms());
    }

    private static Device[] Candidates(Context context, DeviceKind kind) =>
        [.. context.Devices.Where(device => device.AcceleratorType == (kind == DeviceKind.Cuda ? AcceleratorType.Cuda : AcceleratorType.OpenCL))];

    private static string Missing(DeviceKind kind) => kind == DeviceKind.Cuda
        ? $"no CUDA device (tried {string.Join(", ", NativeLibraries.Probe("cuda").Select(probe => probe.File))}); install the NVIDIA driver"
        : "no OpenCL device that ILGPU accepts; install a vendor's OpenCL driver, or use opencl:pocl";

    private static (string Family, string Place) Split(string name)
    {
        int colon = name.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? (name, "") : (name[..colon], name[(colon + 1)..]);
    }

    private static bool TryParseIndex(string place, out int index)
    {
        index = 0;
        return place.Length == 0 || int.TryParse(place, NumberStyles.None, CultureInfo.InvariantCulture, out index);
    }

    private static bool TryParseSlice(string place, out int index, out int count)
    {
        string[] parts = place.Split('/');
        (index, count) = (0, 0);
        return parts.Length == 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out index)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out count)
            && count is > 0 and <= 1024 && index < count;
    }
}
