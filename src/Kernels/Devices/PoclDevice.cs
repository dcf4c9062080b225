using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;
using ILGPU.Runtime.OpenCL;

namespace DistTrain.Kernels;

/// <summary>
/// PoCL, the portable OpenCL on the CPU: how GPU kernels are tested on machines without a GPU. ILGPU refuses PoCL 3 because the device does
/// not report the generic address space; DistTrain's kernels keep address spaces inferable and don't need it, so the capability is set by hand.
/// The only place that touches ILGPU's non-public members. PoCL has no sub-groups: kernels reduce in group memory.
/// </summary>
internal static unsafe partial class PoclDevice
{
    private const ulong DeviceTypeAll = 0xFFFFFFFF;
    private const uint PlatformNameInfo = 0x0902;
    private const string PlatformName = "Portable Computing Language";

    /// <summary>Null if PoCL is here, else why it can't be used.</summary>
    public static string? Unusable()
    {
        try
        {
            return TryFind(out _, out _, out string? reason) ? null : reason;
        }
        catch (DllNotFoundException)
        {
            return "no OpenCL loader (Debian: apt-get install pocl-opencl-icd ocl-icd-libopencl1)";
        }
    }

    public static GpuDevice Open(string name)
    {
        if (Unusable() is { } reason) throw new DeviceException($"{name}: {reason}");
        TryFind(out nint platform, out nint device, out _);
        CLDevice clDevice = new(platform, device);
        MethodInfo setter = typeof(CapabilityContext).Assembly.GetType(clDevice.Capabilities.GetType().FullName!)!
            .GetProperty("GenericAddressSpace")!.GetSetMethod(nonPublic: true)
            ?? throw new DeviceException($"{name}: this ILGPU version has no setter for the generic address space capability");
        setter.Invoke(clDevice.Capabilities, [true]);
        // Only O2 infers the address spaces of views, which PoCL needs.
        Context context = Context.Create(static builder => builder.Optimize(OptimizationLevel.O2).EnableAlgorithms());
        return new GpuDevice(name, DeviceKind.OpenCl, context, clDevice.CreateAccelerator(context));
    }

    private static bool TryFind(out nint platform, out nint device, out string? reason)
    {
        platform = device = 0;
        uint count;
        reason = "the OpenCL loader finds no platform (Debian: apt-get install pocl-opencl-icd)";
        if (clGetPlatformIDs(0, null, &count) != 0 || count == 0) return false;
        nint* platforms = stackalloc nint[checked((int)Math.Min(count, 64))];
        if (clGetPlatformIDs(Math.Min(count, 64), platforms, &count) != 0) return false;
        reason = $"none of the {count} OpenCL platforms is PoCL (Debian: apt-get install pocl-opencl-icd)";
        byte* text = stackalloc byte[256];
        for (int i = 0; i < Math.Min(count, 64); i++)
        {
            if (clGetPlatformInfo(platforms[i], PlatformNameInfo, 255, text, null) != 0) continue;
            if (Marshal.PtrToStringUTF8((nint)text) != PlatformName) continue;
            platform = platforms[i];
            nint found;
            reason = "PoCL offers no device";
            if (clGetDeviceIDs(platform, DeviceTypeAll, 1, &found, null) != 0) return false;
            device = found;
            return true;
        }
        return false;
    }

    [LibraryImport("OpenCL")]
    private static partial int clGetPlatformIDs(uint count, nint* platforms, uint* available);

    [LibraryImport("OpenCL")]
    private static partial int clGetPlatformInfo(nint platform, uint name, nuint byteCount, void* value, nuint* byteCountNeeded);

    [LibraryImport("OpenCL")]
    private static partial int clGetDeviceIDs(nint platform, ulong type, uint count, nint* devices, uint* available);
}
