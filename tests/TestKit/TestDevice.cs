using System.Collections.Concurrent;
using DistTrain.Kernels;
using Xunit;

namespace DistTrain.TestKit;

/// <summary>Every device and instruction set that an operation's tests run on, each by a thin class derived from the operation's abstract one.</summary>
public enum TestDevice
{
    Reference,
    Vector128,
    Avx2,
    Avx512,
    OpenClPocl,
    Emulator,
    Cuda,
}

/// <summary>Opens test devices once a process. A device that this machine lacks skips the test, by name and with the reason.</summary>
public static class TestDevices
{
    private static readonly ConcurrentDictionary<TestDevice, Lazy<(ComputeDevice? Device, string? Reason)>> s_devices = [];

    /// <summary>The device, or a skipped test.</summary>
    public static ComputeDevice Get(TestDevice which)
    {
        (ComputeDevice? device, string? reason) = s_devices.GetOrAdd(which, static key => new(() => Open(key))).Value;
        if (device is null) Assert.Skip($"{which}: {reason}");
        return device;
    }

    /// <summary>True for the emulator, which takes milliseconds for what takes others microseconds: use tiny sizes there.</summary>
    public static bool IsTiny(TestDevice which) => which == TestDevice.Emulator;

    private static (ComputeDevice?, string?) Open(TestDevice which)
    {
        try
        {
            return (which switch
            {
                // Three threads on any machine: more than one, and no divisor of the usual sizes.
                TestDevice.Reference => new CpuDevice("cpu", InstructionSet.Reference, 1),
                TestDevice.Vector128 => new CpuDevice("cpu", InstructionSet.Vector128, 3),
                TestDevice.Avx2 => new CpuDevice("cpu", InstructionSet.Avx2, 3),
                TestDevice.Avx512 => new CpuDevice("cpu", InstructionSet.Avx512, 3),
                TestDevice.OpenClPocl => DeviceCatalog.Open("opencl:pocl"),
                TestDevice.Emulator => DeviceCatalog.Open("ilgpu-cpu"),
                _ => DeviceCatalog.Open("cuda:0"),
            }, null);
        }
        catch (DeviceException failure)
        {
            return (null, failure.Message);
        }
    }
}
