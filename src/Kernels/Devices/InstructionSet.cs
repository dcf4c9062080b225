using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>Which form of the CPU kernels runs. Ordered: a machine that has one has all below it.</summary>
public enum InstructionSet
{
    /// <summary>The plain loops of the reference: the oracle of tests, slow.</summary>
    Reference,

    /// <summary>Portable 128-bit vectors: NEON on ARM, SSE on x86.</summary>
    Vector128,

    /// <summary>256-bit vectors with fused multiply-add.</summary>
    Avx2,

    /// <summary>512-bit vectors.</summary>
    Avx512,
}

/// <summary>Detection and choice of the <see cref="InstructionSet"/>.</summary>
public static class InstructionSets
{
    /// <summary>The environment variable that forces an instruction set.</summary>
    public const string EnvironmentVariable = "DISTTRAIN_ISA";

    /// <summary>The best that this machine has.</summary>
    public static InstructionSet Best { get; } =
        Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Avx512F.VL.IsSupported ? InstructionSet.Avx512
        : Avx2.IsSupported && Fma.IsSupported ? InstructionSet.Avx2
        : Vector128.IsHardwareAccelerated || AdvSimd.IsSupported ? InstructionSet.Vector128
        : InstructionSet.Reference;

    /// <summary>All that this machine has, best first.</summary>
    public static IEnumerable<InstructionSet> Supported =>
        Enum.GetValues<InstructionSet>().Where(set => set <= Best).OrderDescending();

    /// <summary>The one forced by <c>DISTTRAIN_ISA</c>, else the best.</summary>
    /// <exception cref="DeviceException">The variable names an unknown set, or one that this machine lacks.</exception>
    public static InstructionSet Chosen()
    {
        string? forced = Environment.GetEnvironmentVariable(EnvironmentVariable);
        return string.IsNullOrWhiteSpace(forced) ? Best : Parse(forced);
    }

    /// <summary>The name as users write it.</summary>
    public static string Name(this InstructionSet set) => set switch
    {
        InstructionSet.Avx512 => "avx512",
        InstructionSet.Avx2 => "avx2",
        InstructionSet.Vector128 => "vector128",
        _ => "reference",
    };

    /// <summary>The set that a value of the variable names.</summary>
    internal static InstructionSet Parse(string text)
    {
        foreach (InstructionSet set in Enum.GetValues<InstructionSet>())
        {
            if (!set.Name().Equals(text.Trim(), StringComparison.OrdinalIgnoreCase)) continue;
            return set <= Best
                ? set
                : throw new DeviceException($"{EnvironmentVariable}={text}: this machine has no {set.Name()}, its best is {Best.Name()}");
        }
        throw new DeviceException($"{EnvironmentVariable}={text} is unknown; use avx512, avx2, vector128 or reference");
    }
}
